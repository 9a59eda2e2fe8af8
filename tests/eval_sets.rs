//! `mini-omni eval`: what a set may hold, and what is wrong with a row.

mod common;

use std::fs::{self, File};

use common::eval::*;
use common::*;
use serde_json::Value;

#[test]
fn a_wrong_row_is_named_by_its_file_and_line() {
    let folder = tempfile::tempdir().expect("a folder");
    let good = "{\"question\": \"Who?\", \"answer\": \"x\"}\n";
    for (name, content, what) in [
        (
            "a.jsonl",
            format!("{good}\n{{\"question\": }}\n"),
            "a.jsonl:3: the line is no JSON",
        ),
        (
            "a.jsonl",
            format!("{good}{{\"question\": \"Why?\"}}\n"),
            "a.jsonl:2: the row has no answer",
        ),
        (
            "a.jsonl",
            format!("{good}{{\"answer\": \"x\"}}\n"),
            "a.jsonl:2: the row has no question",
        ),
        ("a.jsonl", format!("{good}{good}"), "a.jsonl:2: "),
        (
            "a.jsonl",
            good.replace("\"x\"", "\"?!\""),
            "a.jsonl:1: the expected answer \"?!\"",
        ),
        (
            "a.jsonl",
            good.replace("answer\": \"x", "pattern\": \"("),
            "a.jsonl:1: \"(\" is no regular expression: unclosed group",
        ),
        (
            "a.jsonl",
            good.replace("\"x\"", "5"),
            "a.jsonl:1: \"answer\" is a number, where a text or a list of texts is needed",
        ),
        (
            "a.jsonl",
            good.replace("\"x\"", "[\"x\", null]"),
            "a.jsonl:1: \"answer\" is null, where",
        ),
        (
            "a.jsonl",
            good.replace("\"Who?\"", "[1]"),
            "a.jsonl:1: \"question\" is a list, where a text is needed",
        ),
        (
            "a.jsonl",
            "[null, null, \"Who?\", null, \"x\", null]\n".into(),
            "a.jsonl:1: the line is no JSON object: invalid type: sequence, expected an object",
        ),
        (
            "a.jsonl",
            good.replace("answer", "Answer"),
            "a.jsonl:1: the name \"Answer\" is written \"answer\"",
        ),
        (
            "a.jsonl",
            "{\"question\": \"Who?\", \"question\": \"Why?\", \"answer\": \"x\"}\n".into(),
            "a.jsonl:1: \"question\" stands there twice",
        ),
        (
            "a.csv",
            "Question,answer\nWho?,x\n".into(),
            "a.csv:1: the name \"Question\" is written \"question\"",
        ),
        (
            "a.csv",
            "question,answer,answer\nWho?,x,y\n".into(),
            "a.csv:1: \"answer\" stands there twice",
        ),
        (
            "a.csv",
            "question;answer\nWho?;x\n".into(),
            "with commas (.tsv has tabs) between, but \"question;answer\"",
        ),
        (
            "a.tsv",
            "question,answer\nWho?,x\n".into(),
            "with tabs (.csv has commas) between, but \"question,answer\"",
        ),
        (
            "a.csv",
            "question,answer\n\"Who?,x\nWhy?,y\n".into(),
            "a.csv:2: a field begins with a quotation mark here, and none ends it",
        ),
        (
            "a.csv",
            "question,answer\n\"Who?,x\n\"Why?\",y\n".into(),
            "a.csv:2: a field begins with a quotation mark here, and text follows",
        ),
        (
            "a.csv",
            "question,answer\n\n\nWho?,x\n\"Why\" not?,y\n".into(),
            "a.csv:5: a field begins with",
        ),
        (
            "a.csv",
            "question,answer\n\n\r\nWhy?,\n".into(),
            "a.csv:4: the row has no answer",
        ),
        ("a.jsonl", String::new(), "holds no row"),
        (
            "a.csv",
            "audio,text\nnone.wav,Hello\n".into(),
            "a.csv:2: there is no file",
        ),
        (
            "a.csv",
            "question,answer\nWho?,x\n\nWhy?\n".into(),
            "a.csv:4: the row has 1 fields",
        ),
        (
            "a.csv",
            "question,answer\n\"Two\nlines?\",x\nWhy?,\n".into(),
            "a.csv:4: the row has no answer",
        ),
        (
            "a.tsv",
            "question\tanswer\nWho?\tx\nWhy?\t\n".into(),
            "a.tsv:3: the row has no answer",
        ),
        ("a.txt", good.into(), "a.txt is no set"),
        (
            "1-2.trans.txt",
            "1-2-0000\n".into(),
            "1-2.trans.txt:1: a line is a name and what is said",
        ),
        (
            "1-2.trans.txt",
            "1-2-0000 HELLO\n".into(),
            "1-2.trans.txt:1: there is no file",
        ),
    ] {
        let home = folder.path().join(format!("{}", what.len()));
        fs::create_dir_all(&home).expect("a folder");
        let path = home.join(name);
        fs::write(&path, content).expect("a set");
        let set = if name.ends_with(".trans.txt") {
            &home
        } else {
            &path
        };
        assert_refused(&eval(&model(), set, &[]), what);
        fs::remove_file(&path).expect("removed");
    }
}

#[test]
fn what_is_not_in_utf_8_is_named_by_its_line() {
    let folder = tempfile::tempdir().expect("a folder");
    for (name, content, what) in [
        (
            "head.csv",
            &b"question,answer,\xfcber\nWho?,x,y\n"[..],
            "1: the row",
        ),
        ("row.csv", b"question,answer\n\nWho?,\xfc\n", "3: the row"),
        (
            "row.jsonl",
            b"\n{\"question\": \"\xfc\", \"answer\": \"x\"}\n",
            "2: the line",
        ),
    ] {
        let set = folder.path().join(name);
        fs::write(&set, content).expect("a set");
        let what = format!("{name}:{what} is not in UTF-8");
        assert_refused(&eval(&model(), &set, &[]), &what);
    }
}

#[test]
fn a_label_without_words_measures_nothing_and_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let set = folder.path().join("set.csv");
    // "Um" is a hesitation, which Whisper's rule leaves out.
    for label in ["?!", "Um"] {
        let rows = format!("audio,text\n{},{label}\n", text(&question()));
        fs::write(&set, rows).expect("a set");
        let output = eval(&model(), &set, &["--max-wer", "0"]);
        assert_refused(
            &output,
            &format!("set.csv:2: the text {label:?} has no words"),
        );
    }
}

#[test]
fn fields_between_marks_hold_separators_lines_and_marks() {
    let folder = tempfile::tempdir().expect("a folder");
    let set = folder.path().join("set.csv");
    let row = "\"Say \"\"yes\"\",\nor \"\"no\"\"\" , x|y ,12\" of snow\r\n";
    fs::write(&set, format!("\u{feff}question,answer,note\r\n{row}")).expect("a set");
    let out = folder.path().join("out.jsonl");
    let output = eval(&model(), &set, &["--max-steps", "2", "--out", text(&out)]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let line = &lines(&out)[0];
    assert_eq!(line["asked"]["text"], "Say \"yes\",\nor \"no\"");
    assert_eq!(
        line["label"]["answer"]["answers"],
        serde_json::json!(["x", "y"])
    );
}

#[test]
fn what_is_no_file_is_called_what_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("sound.wav")).expect("a folder");
    fs::write(at("set.csv"), "audio,text\nsound.wav,Hello\n").expect("a set");
    let refused = |name: &str, what: &str| assert_refused(&eval(&model(), &at(name), &[]), what);
    refused("set.csv", "sound.wav is a folder, where a file is needed");
    fs::create_dir(at("folder.jsonl")).expect("a folder");
    refused(
        "folder.jsonl",
        "folder.jsonl is a folder without *.trans.txt",
    );
    refused("none.csv", "there is no file");
    #[cfg(unix)]
    {
        std::os::unix::fs::symlink("/dev/zero", at("zero.jsonl")).expect("a link");
        refused("zero.jsonl", "zero.jsonl is no file but a pipe or a device");
    }
    let large = File::create(at("large.jsonl")).expect("a file");
    large.set_len((64 << 20) + 1).expect("a long file");
    refused("large.jsonl", "large.jsonl has more than 64 MiB");
}

#[test]
fn a_sound_that_is_none_is_found_before_the_first_question() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::copy(question(), at("good.wav")).expect("a copy");
    fs::write(at("bad.wav"), "no sound").expect("written");
    fs::write(at("set.csv"), "audio,text\ngood.wav,Hello\nbad.wav,Hello\n").expect("a set");
    let out = at("out.jsonl");
    let args = ["--at-once", "1", "--max-steps", "4", "--out", text(&out)];
    assert_refused(&eval(&model(), &at("set.csv"), &args), "set.csv:3");
    assert!(!out.exists(), "nothing was begun");
    let args = [&args[..], &["--limit", "1"]].concat();
    assert_eq!(eval(&model(), &at("set.csv"), &args).status.code(), Some(0));
}

#[test]
fn a_sound_whose_end_cannot_be_read_is_named_and_the_rest_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::copy(question(), at("good.wav")).expect("a copy");
    let mut samples = vec![0.01; 16_000];
    samples[15_000] = f32::NAN;
    write_wav(&at("bad.wav"), 16_000, &samples);
    fs::write(at("set.csv"), "audio,text\ngood.wav,Hello\nbad.wav,Hello\n").expect("a set");
    let out = at("out.jsonl");
    let args = ["--at-once", "1", "--max-steps", "4", "--out", text(&out)];
    assert_refused(
        &eval(&model(), &at("set.csv"), &args),
        "set.csv:3: sample 15000",
    );
    assert_eq!(lines(&out).len(), 1);
}

#[test]
fn a_sound_longer_than_the_model_hears_is_cut_and_counted() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    write_wav(&at("long.wav"), 16_000, &vec![0.01; 31 * 16_000]);
    fs::write(at("set.csv"), "audio,text\nlong.wav,Hello\n").expect("a set");
    let found = figures(&eval(&model(), &at("set.csv"), &["--max-steps", "4"]));
    assert_eq!(
        (&found["cut"], &found["no_speech"]),
        (&Value::from(1), &Value::from(1))
    );
    assert_eq!(found["transcription"]["whisper"]["words"]["corpus"], 1.0);
}

#[test]
fn files_that_no_run_wrote_and_the_sets_own_are_left_as_they_are() {
    let (model, folder) = (model(), tempfile::tempdir().expect("a folder"));
    let [set, sound, notes] = ["set.jsonl", "sound.wav", "notes"].map(|n| folder.path().join(n));
    let row = r#"{"id": "a", "audio": "sound.wav", "answer": "x"}"#;
    fs::write(&set, row).expect("a set");
    fs::copy(root().join("tests/fixtures/audio/capital.wav"), &sound).expect("a sound");
    for kept in [
        "{\"my\": \"settings\"}",
        "one line\nhalf a line",
        "a line\n",
    ] {
        fs::write(&notes, kept).expect("notes");
        let output = eval(&model, &set, &["--out", text(&notes)]);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert_eq!(fs::read_to_string(&notes).expect("notes"), kept);
    }
    let before = fs::read(&sound).expect("a sound");
    for option in ["--out", "--json"] {
        let args = [
            "eval",
            text(&model),
            "--data",
            text(&set),
            option,
            text(&sound),
        ];
        let output = mini_omni(&args);
        assert_eq!(output.status.code(), Some(2), "{}", stderr(&output));
        assert!(stderr(&output).contains("a sound of the set"));
        assert_eq!(fs::read(&sound).expect("a sound"), before);
    }
}
