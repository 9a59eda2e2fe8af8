//! `mini-omni eval`: sets, figures, gates, and runs that were killed.

mod common;

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Output;

use common::*;
use serde_json::Value;

/// Written questions, quickly answered by the random model.
const QUESTIONS: &str = "\
{\"id\": \"a\", \"question\": \"What is your name?\", \"answer\": \"x\"}
{\"id\": \"b\", \"question\": \"How are you?\", \"answer\": [\"y\", \"z\"]}

{\"id\": \"c\", \"question\": \"Who are you?\", \"pattern\": \".\"}
{\"question\": \"Why?\", \"answer\": \"x\", \"pattern\": \"^$\"}
";

fn sets() -> PathBuf {
    root().join("tests/fixtures/eval")
}

/// Runs eval on a set, JSON on standard output.
fn eval(model: &Path, set: &Path, args: &[&str]) -> Output {
    let both = ["eval", text(model), "--data", text(set), "--json", "-"];
    mini_omni(&[&both[..], args].concat())
}

fn figures(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stderr(output)))
}

/// The lines of a results file by id, without the time that each took.
fn lines(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).expect("results");
    let lines = text.lines().skip(1);
    let mut lines: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).expect("a line"))
        .map(|mut line: Value| {
            line["total_ms"] = Value::Null;
            line
        })
        .collect();
    lines.sort_by_key(|line| line["id"].to_string());
    lines
}

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
#[cfg(unix)]
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
#[cfg(unix)]
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
            "a.jsonl:1: \"(\" is no regular",
        ),
        ("a.jsonl", String::new(), "holds no row"),
        (
            "a.csv",
            "audio,text\nnone.wav,Hello\n".into(),
            "a.csv:2: there is no file",
        ),
        (
            "a.csv",
            "question,answer\nWho?,x\nWhy?\n".into(),
            "a.csv:3: the row has 1 fields",
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
fn a_sound_that_cannot_be_read_is_named_and_the_rest_is_kept() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::copy(question(), at("good.wav")).expect("a copy");
    fs::write(at("bad.wav"), "no sound").expect("written");
    fs::write(at("set.csv"), "audio,text\ngood.wav,Hello\nbad.wav,Hello\n").expect("a set");
    let out = at("out.jsonl");
    let args = ["--at-once", "1", "--max-steps", "4", "--out", text(&out)];
    assert_refused(&eval(&model(), &at("set.csv"), &args), "set.csv:3");
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
fn options_that_make_no_sense_are_refused() {
    let set = sets().join("questions.jsonl");
    for (args, what) in [
        (vec!["--min-right", "1.5"], "--min-right 1.5"),
        (vec!["--max-wer", "-1"], "--max-wer -1"),
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
        "/nowhere is no set",
    );
}
