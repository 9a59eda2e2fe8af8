//! `mini-omni bench` and `compare` as a script uses them.

mod common;

use std::fs;
use std::path::Path;

use common::*;
use serde_json::Value;

fn bench(args: &[&str]) -> std::process::Output {
    let model = model();
    let quick = ["bench", text(&model), "--rounds", "2", "--steps", "20"];
    let output = mini_omni(&[&quick[..], args].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    output
}

fn json(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).expect("results")).expect("JSON")
}

/// The same results, as if every step had taken `times` as long.
fn scaled(results: &Value, times: f64) -> String {
    let mut results = results.clone();
    for stage in results["stages_ms"].as_array_mut().expect("stages") {
        for name in ["mean", "p50", "p95", "p99", "p50_error"] {
            let value = stage[1][name].as_f64().map(|ms| ms * times);
            stage[1][name] = value.into();
        }
    }
    results.to_string()
}

#[test]
fn progress_is_silent_where_no_terminal_is() {
    assert_eq!(stderr(&bench(&[])), "");
    assert_eq!(
        stderr(&bench(&["--conversations", "2", "--seconds", "2"])),
        ""
    );
    let model = model();
    let hi = [
        "compare",
        text(&model),
        "--reference",
        text(&model),
        "--text",
        "hi",
    ];
    let output = mini_omni(&[&hi[..], &["--max-steps", "5"]].concat());
    assert_eq!(stderr(&output), "");
}

#[test]
fn a_run_that_is_not_alike_is_warned_of() {
    let folder = tempfile::tempdir().expect("a folder");
    let then = folder.path().join("then.json");
    bench(&["--threads", "1", "--json", text(&then)]);
    let alike = bench(&["--threads", "1", "--compare", text(&then)]);
    assert_eq!(stderr(&alike), "");
    let (task, window) = (["--task", "a1a2"], ["--encoder-window", "short"]);
    let compare = ["--threads", "2", "--compare", text(&then)];
    let said = stderr(&bench(&[&task[..], &window, &compare].concat()));
    for what in [
        "threads 2, before 1",
        "task a1a2, before a1a2-batch",
        "encoder window short, before full",
    ] {
        let warning = format!("warning: the runs are not alike: {what}\n");
        assert!(said.contains(&warning), "{said}");
    }
}

#[test]
fn the_verdict_names_what_is_slower_and_what_is_faster() {
    let folder = tempfile::tempdir().expect("a folder");
    let (then, edited) = (folder.path().join("then"), folder.path().join("edited"));
    bench(&["--json", text(&then)]);
    for (times, verdict) in [(0.2, "slower than before: "), (5.0, "faster than before: ")] {
        fs::write(&edited, scaled(&json(&then), times)).expect("written");
        let output = bench(&["--compare", text(&edited)]);
        let table = String::from_utf8_lossy(&output.stdout).into_owned();
        let line = table.lines().find(|line| line.starts_with(verdict));
        assert!(line.is_some_and(|line| line.contains("step")), "{table}");
    }
}

#[test]
fn results_of_before_are_still_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let then = folder.path().join("then.json");
    bench(&["--json", text(&then)]);
    let mut old = json(&then);
    old.as_object_mut().expect("an object").remove("steps");
    for stage in old["stages_ms"].as_array_mut().expect("stages") {
        stage[1]
            .as_object_mut()
            .expect("numbers")
            .remove("p50_error");
    }
    fs::write(&then, old.to_string()).expect("written");
    let output = bench(&["--compare", text(&then)]);
    assert!(String::from_utf8_lossy(&output.stdout).contains(" %, "));
}

#[test]
fn contradictions_of_bench_are_refused_in_a_sentence() {
    let (folder, model) = (tempfile::tempdir().expect("a folder"), model());
    let then = folder.path().join("then.json");
    bench(&["--json", text(&then)]);
    let then = text(&then);
    for (args, what) in [
        (
            vec!["--json", then, "--compare", then],
            "would overwrite what --compare reads",
        ),
        (vec!["--json", "-", "--compare", then], "give --json a file"),
        (vec!["--task", "t1t2"], "takes a written one"),
        (
            vec!["--conversations", "2", "--task", "a1t1"],
            "does not speak",
        ),
        (vec!["--conversations", "2", "--seconds", "-3"], "--seconds"),
        (vec!["--player-buffer", "3"], "--conversations"),
        (vec!["--compare", "/dev/null"], "no result of"),
    ] {
        let output = mini_omni(&[&["bench", text(&model)], &args[..]].concat());
        assert_refused(&output, what);
    }
}

#[test]
fn options_of_compare_without_effect_are_said_to_be_ignored() {
    let model = model();
    let hi = [
        "compare",
        text(&model),
        "--reference",
        text(&model),
        "--text",
        "-5",
        "--max-steps",
        "2",
    ];
    for (args, option) in [
        (["--task", "a1t1"], "--task"),
        (["--encoder-window", "short"], "--encoder-window"),
        (
            ["--reference-encoder-window", "short"],
            "--reference-encoder-window",
        ),
    ] {
        let output = mini_omni(&[&hi[..], &args].concat());
        assert!(output.status.success(), "{}", stderr(&output));
        let note = format!("note: {option} has no effect");
        assert!(stderr(&output).contains(&note), "{}", stderr(&output));
    }
}

#[test]
fn texts_to_compare_by_are_checked_before_the_models_are_loaded() {
    let model = model();
    let long = "word ".repeat(3000);
    for (question, what) in [("", "no words"), (long.as_str(), "positions")] {
        let both = ["compare", text(&model), "--reference", text(&model)];
        let output = command(&[&both[..], &["--text", question]].concat())
            .env("ORT_DYLIB_PATH", "/nowhere/libonnxruntime.so")
            .output()
            .expect("the binary runs");
        assert_refused(&output, what);
    }
}
