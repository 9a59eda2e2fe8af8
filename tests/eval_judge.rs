//! `mini-omni eval --judge`: commands that hear, fail, hang and flood.

#![cfg(unix)]

mod common;

use std::fs;
use std::os::unix::process::ExitStatusExt;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::thread::sleep;
use std::time::Duration;

use common::eval::*;
use common::*;

/// Speaks answers of no meaning to a judge.
fn judged(judge: &str, more: &[&str]) -> Output {
    let args = ["--task", "t1a2", "--max-steps", "12", "--judge", judge];
    eval(
        &model(),
        &sets().join("questions.jsonl"),
        &[&args[..], more].concat(),
    )
}

/// A judge that starts a process, writes its number to `file`, and goes on as `then` says.
fn starts(file: &Path, then: &str) -> String {
    let file = text(file);
    // Renamed, so that the file has its number from the start.
    format!("f() {{ sleep 600 & echo $! > {file}.new; mv {file}.new {file}; {then}; }}; f")
}

/// Waits until a process is gone; one that nobody has waited for yet is gone, too.
fn is_gone(file: &Path) -> bool {
    let number = fs::read_to_string(file).expect("a number");
    let state = || {
        let args = ["-o", "stat=", "-p", number.trim()];
        let ps = Command::new("ps").args(args).output().expect("ps runs");
        String::from_utf8_lossy(&ps.stdout).trim().to_string()
    };
    soon(|| state().is_empty() || state().starts_with('Z'))
}

fn soon(is_so: impl Fn() -> bool) -> bool {
    (0..600).any(|_| {
        sleep(Duration::from_millis(100));
        is_so()
    })
}

#[test]
fn a_judge_hears_a_wav_and_what_it_prints_is_held_against_both_label_and_text() {
    let folder = tempfile::tempdir().expect("a folder");
    let heard = folder.path().join("heard.wav");
    // The wav's path comes behind the command, so it is the last argument of cp.
    let copies = format!(
        "f() {{ cp \"$1\" {}; echo It is Paris.; }}; f",
        text(&heard)
    );
    let set = folder.path().join("set.jsonl");
    let rows = "{\"question\": \"What is the capital of France?\", \"answer\": \"Paris\"}\n";
    fs::write(&set, rows).expect("a set");
    let args = ["--task", "t1a2", "--judge", &copies];
    let found = figures(&eval(&bundled(), &set, &args));
    assert_eq!(found["answers"]["right"], 1);
    assert_eq!(found["answers_heard"]["right"], 1);
    assert_eq!(
        found["voice"]["errors"]["of"], 6,
        "The capital of France is Paris."
    );
    let missing = [("deletions", 3), ("substitutions", 1)];
    for (kind, n) in missing {
        assert_eq!(found["voice"]["errors"][kind], n, "It is Paris.");
    }
    let wav = hound::WavReader::open(&heard).expect("a wav");
    assert_eq!(wav.spec().sample_rate, 24_000);
    assert!(wav.duration() > 24_000, "more than a second of speech");
}

#[test]
fn a_judge_that_fails_ends_the_run_in_a_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    let calls = folder.path().join("calls");
    let fails = format!("echo deaf >&2; echo >> {}; false", text(&calls));
    let output = judged(&fails, &[]);
    assert_refused(&output, "deaf");
    assert!(
        stderr(&output).contains("questions.jsonl:"),
        "the row is named"
    );
    let calls = fs::read(calls).expect("a line a call");
    assert_eq!(calls.len(), 1, "no other answer is judged");
    assert_refused(&judged("false", &[]), "said nothing on standard error");
}

#[test]
fn a_judge_that_hangs_is_ended_with_all_that_it_started() {
    let folder = tempfile::tempdir().expect("a folder");
    let number = folder.path().join("number");
    let output = judged(&starts(&number, "wait"), &["--judge-seconds", "1"]);
    assert_refused(&output, "has not ended after 1 s; --judge-seconds");
    assert!(is_gone(&number));
}

#[test]
fn what_a_judge_leaves_running_is_not_waited_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let number = folder.path().join("number");
    let output = judged(&starts(&number, "echo eight"), &["--limit", "1"]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert_eq!(figures(&output)["answers_heard"]["of"], 1);
    assert!(is_gone(&number));
}

#[test]
fn a_judge_that_floods_is_ended() {
    assert_refused(&judged("yes", &[]), "prints more than 1 MiB");
    let floods = "f() { yes | head -c 3000000 >&2; echo deaf >&2; false; }; f";
    let output = judged(floods, &[]);
    assert_refused(&output, "deaf");
    assert!(stderr(&output).len() < 1000, "its last words alone");
}

#[test]
fn an_empty_judge_is_refused_before_anything_is_computed() {
    for judge in ["", "  "] {
        assert_refused(&judged(judge, &[]), "--judge is empty");
    }
    assert_refused(
        &judged("echo", &["--judge-seconds", "0"]),
        "--judge-seconds",
    );
}

#[test]
fn a_signal_ends_the_judge_and_leaves_no_sound_behind() {
    let folder = tempfile::tempdir().expect("a folder");
    let number = folder.path().join("number");
    let sounds = folder.path().join("sounds");
    fs::create_dir(&sounds).expect("a folder");
    let set = sets().join("questions.jsonl");
    let judge = starts(&number, "wait");
    let (model, json) = (model(), folder.path().join("figures.json"));
    let mut running = command(&[
        "eval",
        text(&model),
        "--data",
        text(&set),
        "--json",
        text(&json),
    ])
    .args(["--task", "t1a2", "--max-steps", "12", "--judge", &judge])
    .env("TMPDIR", &sounds)
    .stderr(Stdio::null())
    .spawn()
    .expect("the binary runs");
    assert!(soon(|| number.exists()), "the judge begins");
    assert_eq!(fs::read_dir(&sounds).expect("a folder").count(), 1);
    let kill = ["-TERM", &running.id().to_string()];
    assert!(
        Command::new("kill")
            .args(kill)
            .status()
            .expect("kill runs")
            .success()
    );
    let status = running.wait().expect("an end");
    assert_eq!(status.signal(), Some(15), "it ends by the signal");
    assert!(is_gone(&number));
    assert_eq!(fs::read_dir(&sounds).expect("a folder").count(), 0);
}
