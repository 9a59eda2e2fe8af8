//! Pipes, closed terminals and standard output by all its names.
#![cfg(target_os = "linux")]

mod common;

use std::fs;
use std::io::Read;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use common::*;

/// A short spoken answer of the random model.
fn spoken<'a>(model: &'a Path, more: &[&'a str]) -> Vec<&'a str> {
    let asked = ["ask", text(model), "--text", "Hello", "--max-steps", "40"];
    [&asked[..], more].concat()
}

/// Runs the binary by way of a shell, which redirects as `how` says.
fn through_shell(args: &[&str], how: &str) -> Output {
    Command::new("sh")
        .args(["-c", &format!("exec \"$0\" \"$@\" {how}")])
        .arg(env!("CARGO_BIN_EXE_mini-omni"))
        .args(args)
        .stdin(Stdio::null())
        .output()
        .expect("a shell")
}

/// Runs the binary with a reader of its standard output that goes away after the first byte.
fn read_for_a_byte(args: &[&str]) -> Output {
    let mut child = command(args)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout.read_exact(&mut [0]).expect("a first byte");
    drop(stdout);
    child.wait_with_output().expect("an end")
}

/// Samples a wav's header claims, where they are all there.
fn samples(bytes: &[u8]) -> u32 {
    assert_eq!(&bytes[..4], b"RIFF");
    let claimed = u32::from_le_bytes(bytes[40..44].try_into().expect("four bytes"));
    assert_eq!(claimed as usize + 44, bytes.len(), "the header is true");
    claimed / 2
}

#[test]
fn the_sound_is_written_even_if_nobody_reads_the_text() {
    let folder = tempfile::tempdir().expect("a folder");
    let (wav, model) = (folder.path().join("answer.wav"), model());
    let output = read_for_a_byte(&spoken(&model, &["--out", text(&wav)]));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(!stderr(&output).contains("error"), "{}", stderr(&output));
    assert!(samples(&fs::read(&wav).expect("a wav")) > 30 * 2048);
}

#[test]
fn a_reader_that_goes_away_ends_the_answer_quietly() {
    let model = model();
    let long = ["ask", text(&model), "--text", "Hello", "--task", "t1t2"];
    let output = read_for_a_byte(&long);
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(stderr(&output), "");
}

#[test]
fn the_text_goes_on_where_the_player_is_closed() {
    let (folder, model) = (tempfile::tempdir().expect("a folder"), model());
    let trace = folder.path().join("trace.json");
    let mut child = command(&spoken(&model, &["--out", "-", "--trace", text(&trace)]))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdout = child.stdout.take().expect("a pipe");
    stdout.read_exact(&mut [0; 100]).expect("a header");
    drop(stdout);
    let output = child.wait_with_output().expect("an end");
    assert!(output.status.success(), "{}", stderr(&output));
    let trace: serde_json::Value =
        serde_json::from_slice(&fs::read(&trace).expect("a trace")).expect("JSON");
    assert_eq!(trace["ended"], "limit");
}

#[test]
fn a_closed_stderr_is_no_reason_to_fail() {
    let folder = tempfile::tempdir().expect("a folder");
    let (wav, model) = (folder.path().join("answer.wav"), model());
    // A pipe whose reader has gone, and no stderr at all.
    let mut child = command(&spoken(&model, &["--out", text(&wav), "--top-k", "3"]))
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    drop(child.stderr.take());
    assert!(child.wait().expect("an end").success());
    assert!(samples(&fs::read(&wav).expect("a wav")) > 0);
    fs::remove_file(&wav).expect("removed");
    let output = through_shell(&spoken(&model, &["--out", text(&wav)]), "2>&-");
    assert!(output.status.success() && wav.exists());
}

#[test]
fn refusals_and_help_bear_closed_terminals() {
    let model = model();
    for (args, code) in [
        (vec!["--help"], 0),
        (vec!["--version"], 0),
        (vec!["ask", "--nonsense"], 2),
        (vec!["ask", "/nowhere", "--text", "hi"], 2),
        (vec!["inspect", text(&model)], 0),
        (vec!["man"], 0),
    ] {
        for how in [">&-", "2>&-", ">&- 2>&-"] {
            let output = through_shell(&args, how);
            assert_eq!(output.status.code(), Some(code), "{args:?} {how}");
        }
        let mut child = command(&args)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the binary starts");
        drop((child.stdout.take(), child.stderr.take()));
        let status = child.wait().expect("an end");
        assert_eq!(status.code(), Some(code), "{args:?}");
    }
}

#[test]
fn standard_output_has_several_names() {
    let (folder, model) = (tempfile::tempdir().expect("a folder"), model());
    let link = folder.path().join("link");
    std::os::unix::fs::symlink("/dev/stdout", &link).expect("a link");
    let expected = mini_omni(&spoken(&model, &["--out", "-"])).stdout;
    assert_eq!(&expected[..4], b"RIFF");
    for name in ["/dev/stdout", "/dev/fd/1", "/proc/self/fd/1", text(&link)] {
        let output = mini_omni(&spoken(&model, &["--out", name]));
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(output.stdout == expected, "{name} is standard output");
    }
    let both = ["--out", "-", "--trace", "/dev/stdout"];
    let output = mini_omni(&spoken(&model, &both));
    assert_refused(&output, "both want standard output");
}

#[test]
fn a_file_on_standard_output_gets_a_true_header() {
    let (folder, model) = (tempfile::tempdir().expect("a folder"), model());
    let file = folder.path().join("answer.wav");
    for name in ["-", "/dev/stdout"] {
        let args = spoken(&model, &["--out", name]);
        let output = through_shell(&args, &format!("> {}", text(&file)));
        assert!(output.status.success(), "{}", stderr(&output));
        assert!(samples(&fs::read(&file).expect("a wav")) > 0);
    }
    // Behind what is there already, whoever wrote it.
    fs::write(&file, "before").expect("written");
    through_shell(
        &spoken(&model, &["--out", "-"]),
        &format!(">> {}", text(&file)),
    );
    let bytes = fs::read(&file).expect("a file");
    assert_eq!(&bytes[..6], b"before");
    assert!(samples(&bytes[6..]) > 0);
    // And where the shell opened another of our files.
    let args = spoken(&model, &["--out", "/dev/fd/3"]);
    let output = through_shell(&args, &format!("3> {}", text(&file)));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(samples(&fs::read(&file).expect("a wav")) > 0);
}

#[test]
fn a_pipe_hears_the_answer_while_it_is_spoken() {
    let model = model();
    let output = mini_omni(&spoken(&model, &["--out", "-"]));
    assert_eq!(
        &output.stdout[40..44],
        [0xFF; 4],
        "its length is not known yet"
    );
    assert!(!stderr(&output).contains("error"));
}

#[test]
fn an_answer_without_sound_writes_no_empty_wav() {
    let (folder, model) = (tempfile::tempdir().expect("a folder"), model());
    let wav = folder.path().join("answer.wav");
    let asked = ["ask", text(&model), "--text", "Hello", "--max-steps", "2"];
    let ask = |out: &str| mini_omni(&[&asked[..], &["--out", out]].concat());
    let output = ask(text(&wav));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("the answer has no sound; nothing is written"));
    assert!(!wav.exists());
    assert!(ask("-").stdout.is_empty());
    fs::write(&wav, "an answer of before").expect("written");
    assert!(stderr(&ask(text(&wav))).contains("stays as it was and is not this answer"));
    assert_eq!(fs::read(&wav).expect("a file"), b"an answer of before");
}

#[test]
fn a_full_disk_is_told_on_a_line_of_its_own_by_the_name_of_the_file() {
    let model = model();
    for option in ["--out", "--trace"] {
        let output = through_shell(&spoken(&model, &[option, "/dev/full"]), "2>&1");
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        let error = said.lines().last().expect("a last line");
        assert!(
            error.starts_with("error: cannot write /dev/full: No space left"),
            "{said}"
        );
    }
    let output = through_shell(&spoken(&model, &[]), "> /dev/full");
    assert_refused(&output, "\nerror: cannot write standard output: No space");
    let output = through_shell(&["inspect", text(&model)], "> /dev/full");
    assert_refused(&output, "cannot write standard output: No space");
}

#[test]
fn a_full_standard_output_does_not_cost_the_sound() {
    let (folder, model) = (tempfile::tempdir().expect("a folder"), model());
    let wav = folder.path().join("answer.wav");
    let args = spoken(&model, &["--out", text(&wav)]);
    let output = through_shell(&args, "> /dev/full");
    assert_refused(&output, "cannot write standard output");
    assert!(samples(&fs::read(&wav).expect("a wav")) > 30 * 2048);
}
