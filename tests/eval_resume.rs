//! `mini-omni eval --out`: runs that were killed go on, and others do not.

mod common;

use std::fs::{self, File};
use std::path::Path;

use common::eval::*;
use common::*;
use serde_json::Value;

#[test]
fn a_run_that_was_killed_at_any_moment_goes_on_to_the_same_figures() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::write(at("set.jsonl"), QUESTIONS).expect("a set");
    let run = |out: &Path| {
        let args = ["--max-steps", "8", "--out", text(out)];
        let output = eval(&model(), &at("set.jsonl"), &args);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        figures(&output)
    };
    let mut whole = run(&at("whole"));
    let bytes = fs::read(at("whole")).expect("results");
    assert_eq!(lines(&at("whole")).len(), 4);
    whole["worst"] = Value::Null;
    let ends = bytes.iter().enumerate().filter(|(_, byte)| **byte == b'\n');
    let second = ends
        .map(|(at, _)| at + 1)
        .nth(1)
        .expect("a line behind the settings");
    for cut in [
        0,
        1,
        second - 1,
        second,
        second + 1,
        bytes.len() - 1,
        bytes.len(),
    ] {
        fs::write(at("cut"), &bytes[..cut]).expect("a piece of the results");
        let mut again = run(&at("cut"));
        again["worst"] = Value::Null;
        assert_eq!(again, whole, "cut behind {cut} bytes");
        assert_eq!(
            lines(&at("cut")),
            lines(&at("whole")),
            "cut behind {cut} bytes"
        );
    }
}

#[test]
fn results_of_another_run_are_not_gone_on_with() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::write(at("set.jsonl"), QUESTIONS).expect("a set");
    let out = at("out.jsonl");
    let run = |more: &[&str]| {
        let args = [&["--max-steps", "4", "--out", text(&out)], more].concat();
        eval(&model(), &at("set.jsonl"), &args)
    };
    assert_eq!(run(&["--limit", "2"]).status.code(), Some(0));
    assert_refused(&run(&["--task", "t1a2"]), "task");
    let steps = ["--max-steps", "5", "--out", text(&out)];
    assert_refused(
        &eval(&model(), &at("set.jsonl"), &steps),
        "max_steps 4, and now it is 5",
    );

    let held = File::open(&out).expect("results");
    held.lock().expect("a lock");
    assert_refused(&run(&[]), "another run is writing");
    held.unlock().expect("no lock");

    let more = run(&[]);
    assert_eq!(figures(&more)["items"], 4);
    assert!(stderr(&more).contains("2 of 4 items are done already"));

    let changed = QUESTIONS.replace("\"x\"}", "\"other\"}");
    fs::write(at("set.jsonl"), changed).expect("a set");
    assert_refused(&run(&[]), "set.jsonl:1: the label of \"a\" is another");

    let broken = fs::read_to_string(&out)
        .expect("results")
        .replacen("\"said\"", "said", 1);
    fs::write(&out, broken).expect("written");
    assert_refused(&run(&[]), "out.jsonl:2 is no line of an evaluation");
}

#[test]
fn a_question_or_sound_that_was_changed_is_not_taken_for_the_one_that_was_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let row = r#"{"id": "a", "question": "Why?", "audio": "a.wav", "answer": "x"}"#;
    fs::write(at("set.jsonl"), row).expect("a set");
    fs::copy(question(), at("a.wav")).expect("a sound");
    let run = |task: &str| {
        let out = at(task);
        let args = ["--task", task, "--max-steps", "2", "--out", text(&out)];
        eval(&model(), &at("set.jsonl"), &args)
    };
    for task in ["t1t2", "a1t2"] {
        for _ in 0..2 {
            assert_eq!(run(task).status.code(), Some(0), "{task}");
        }
    }
    fs::write(at("set.jsonl"), row.replace("Why", "How")).expect("a set");
    assert_refused(
        &run("t1t2"),
        "set.jsonl:1: the question of \"a\" is another",
    );
    assert_eq!(run("a1t2").status.code(), Some(0), "the sound is the same");
    fs::copy(bundled_question(), at("a.wav")).expect("another sound");
    assert_refused(&run("a1t2"), "set.jsonl:1: the sound of \"a\" is another");
}

#[test]
fn what_computes_is_the_same_for_all_lines_and_is_told() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::write(at("set.jsonl"), QUESTIONS).expect("a set");
    let run = |model: &Path, more: &[&str]| {
        let out = at("out.jsonl");
        let both = [&["--max-steps", "2", "--out", text(&out)], more].concat();
        eval(model, &at("set.jsonl"), &both)
    };
    let first = run(&model(), &["--threads", "1", "--kernels", "plain"]);
    let settings = &figures(&first)["settings"];
    assert_eq!(
        (&settings["kernels"], &settings["threads"]),
        (&"plain".into(), &1.into())
    );
    let other = run(&model(), &["--threads", "1", "--kernels", "onnxruntime"]);
    assert_refused(&other, "kernels \"plain\", and now it is \"onnxruntime\"");
    let other = run(&model(), &["--threads", "2", "--kernels", "plain"]);
    assert_refused(&other, "threads 1, and now it is 2");

    copy_model(&model(), &at("model"));
    let manifest = at("model").join("manifest.json");
    let same_but_for_spaces = fs::read_to_string(&manifest).expect("a manifest") + " ";
    fs::write(&manifest, same_but_for_spaces).expect("another manifest");
    let other = run(&at("model"), &["--threads", "1", "--kernels", "plain"]);
    assert_refused(&other, "with manifest \"");

    let lines = fs::read_to_string(at("out.jsonl")).expect("results");
    let version = |text: &str| format!("\"onnxruntime\":\"{text}\"");
    let now = version(settings["onnxruntime"].as_str().expect("a version"));
    fs::write(at("out.jsonl"), lines.replace(&now, &version("0"))).expect("written");
    let other = run(&model(), &["--threads", "1", "--kernels", "plain"]);
    assert_refused(&other, "onnxruntime \"0\", and now it is");
    let old = "{\"format_version\":1,\"model\":\"x\"}\n";
    fs::write(at("out.jsonl"), old).expect("written");
    let other = run(&model(), &["--threads", "1", "--kernels", "plain"]);
    assert_refused(&other, "was written by another version");
    fs::write(at("out.jsonl"), "{\"my\":\"lines\"}\n").expect("written");
    let other = run(&model(), &["--threads", "1", "--kernels", "plain"]);
    assert_refused(&other, "out.jsonl:1 is no line of an evaluation");
}
