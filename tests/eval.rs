//! `mini-omni eval`: figures, gates and options.

mod common;

use std::fs;
use std::path::Path;

use common::eval::*;
use common::*;

#[test]
fn sound_in_librispeechs_layout_is_transcribed_and_counted_by_both_rules() {
    let output = eval(
        &bundled(),
        &sets().join("LibriSpeech"),
        &["--max-wer", "0.2"],
    );
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let found = figures(&output);
    assert_eq!(found["settings"]["task"], "a1t1");
    assert_eq!(found["items"], 6);
    // Whisper's rule makes "9 +10" of "nine plus ten": a word less.
    for (rule, n_words) in [("whisper", 32), ("original", 33)] {
        let words = &found["transcription"][rule]["words"];
        assert_eq!(words["errors"]["of"], n_words, "{words}");
        let [low, all, high] = [
            &words["interval"]["low"],
            &words["corpus"],
            &words["interval"]["high"],
        ]
        .map(|value| value.as_f64().expect("a rate"));
        assert!(low <= all && all <= high && high <= 0.5, "{words}");
    }
}

#[test]
fn a_table_says_what_the_json_says() {
    let table = mini_omni(&[
        "eval",
        text(&bundled()),
        "--data",
        text(&sets().join("spoken.csv")),
    ]);
    let said = String::from_utf8_lossy(&table.stdout).into_owned();
    for word in [
        "WER, Whisper's rule",
        "CER, the original's rule",
        "95 % interval",
        "6 items",
    ] {
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn spoken_questions_are_answered_right() {
    for task in ["a1t2", "a1a2-batch"] {
        let args = ["--task", task, "--min-right", "0.8"];
        let output = eval(&bundled(), &sets().join("questions.jsonl"), &args);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        let answers = &figures(&output)["answers"];
        assert_eq!(answers["of"], 6, "{answers}");
    }
}

#[test]
fn items_are_the_same_whether_asked_alone_or_together() {
    let folder = tempfile::tempdir().expect("a folder");
    let results = ["1", "5"].map(|at_once| {
        let out = folder.path().join(at_once);
        let args = [
            "--at-once",
            at_once,
            "--task",
            "a1a2",
            "--max-steps",
            "20",
            "--out",
            text(&out),
        ];
        let output = eval(&model(), &sets().join("questions.jsonl"), &args);
        assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
        lines(&out)
    });
    assert_eq!(results[0], results[1]);
}

#[test]
fn a_gate_that_falls_is_exit_code_1() {
    let folder = tempfile::tempdir().expect("a folder");
    let set = folder.path().join("set.jsonl");
    fs::write(&set, QUESTIONS).expect("a set");
    let output = eval(&model(), &set, &["--max-steps", "4", "--min-right", "1"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("is below --min-right 1"));
    assert!(
        figures(&output)["answers"]["share"]
            .as_f64()
            .expect("a share")
            < 1.0
    );
    let speech = sets().join("spoken.csv");
    let output = eval(&model(), &speech, &["--max-steps", "4", "--max-wer", "0"]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("is above --max-wer 0"));
}

#[test]
fn options_that_make_no_sense_are_refused() {
    let set = sets().join("questions.jsonl");
    for (args, what) in [
        (vec!["--min-right", "1.5"], "--min-right 1.5"),
        (vec!["--max-wer", "-1"], "--max-wer -1"),
        (vec!["--max-wer", "inf"], "--max-wer inf"),
        (vec!["--max-wer", "0.1"], "--max-wer is of transcriptions"),
        (vec!["--task", "a1t1"], "the row has no text"),
        (vec!["--out", text(&set)], "would overwrite the set"),
        (vec!["--out", "/dev/null"], "is no file"),
        (vec!["--at-once", "0"], "--at-once"),
    ] {
        assert_refused(&eval(&model(), &set, &args), what);
    }
    let speech = sets().join("LibriSpeech");
    assert_refused(
        &eval(&model(), &speech, &["--min-right", "1"]),
        "--min-right is of answers",
    );
    assert_refused(
        &eval(&model(), Path::new("/nowhere"), &[]),
        "there is no file /nowhere",
    );
}
