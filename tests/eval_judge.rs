//! `mini-omni eval --judge`: commands that hear, fail, hang and flood.

#![cfg(unix)]

mod common;

use std::fs;

use common::eval::*;
use common::*;

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
    let args = [
        "--task",
        "t1a2",
        "--max-steps",
        "12",
        "--judge",
        "echo deaf >&2; false",
    ];
    let output = eval(&model(), &sets().join("questions.jsonl"), &args);
    assert_refused(&output, "deaf");
    assert!(
        stderr(&output).contains("questions.jsonl:"),
        "the row is named"
    );
}
