//! `mini-omni ask` as a person or a script uses it.

mod common;

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::Stdio;

use common::*;
use serde_json::Value;

fn trace(args: &[&str]) -> Value {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("trace.json");
    let model = model();
    let mut all = vec!["ask", text(&model)];
    all.extend_from_slice(args);
    all.extend(["--trace", text(&file)]);
    let output = mini_omni(&all);
    assert!(output.status.success(), "{}", stderr(&output));
    serde_json::from_slice(&fs::read(&file).expect("a trace")).expect("JSON")
}

fn lists(trace: &Value) -> Vec<Vec<i64>> {
    serde_json::from_value(trace["tokens"].clone()).expect("eight lists of ids")
}

#[test]
fn a_spoken_question_is_answered_in_a_wav_and_a_trace() {
    let folder = tempfile::tempdir().expect("a folder");
    let (wav, trace_file) = (
        folder.path().join("answer.wav"),
        folder.path().join("trace.json"),
    );
    let (model, question) = (model(), question());
    let output = mini_omni(&[
        "ask",
        text(&model),
        text(&question),
        "--max-steps",
        "30",
        "--out",
        text(&wav),
        "--trace",
        text(&trace_file),
    ]);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(stderr(&output).contains("its speech are noise"));
    assert!(
        stderr(&output)
            .lines()
            .last()
            .expect("a last line")
            .contains("real-time factor")
    );
    let trace: Value =
        serde_json::from_slice(&fs::read(&trace_file).expect("trace")).expect("JSON");
    let reader = hound::WavReader::open(&wav).expect("a wav");
    assert_eq!(
        (reader.spec().sample_rate, reader.spec().channels),
        (24_000, 1)
    );
    assert_eq!(trace["pcm_samples"], reader.duration());
    assert_eq!(trace["task"], "a1a2-batch");
    assert_eq!(trace["prompt_length"], 101);
    for part in [
        "load",
        "mel",
        "encoder",
        "prefill",
        "first_audio",
        "codec",
        "total",
    ] {
        assert!(trace["timings_ms"][part].is_number(), "{part}");
    }
    let steps = lists(&trace)[7].len();
    assert!(
        trace["timings_ms"]["steps"]
            .as_array()
            .expect("steps")
            .len()
            >= steps
    );
    assert_eq!(
        trace["frames"].as_u64().expect("frames") * 2048,
        trace["pcm_samples"].as_u64().expect("n")
    );
}

#[test]
fn text_tasks_have_no_audio_lists() {
    let question = question();
    for args in [
        vec!["--text", "Hello", "--task", "t1t2"],
        vec![text(&question), "--task", "a1t1"],
        vec![text(&question), "--task", "a1t2"],
    ] {
        let trace = trace(&[&args[..], &["--max-steps", "9"]].concat());
        let lists = lists(&trace);
        assert!(lists[..7].iter().all(Vec::is_empty));
        assert!(!lists[7].is_empty() && lists[7].len() <= 9);
        assert_eq!(trace["frames"], 0);
        assert!(trace["timings_ms"]["first_audio"].is_null());
    }
}

#[test]
fn a_written_question_is_spoken_to_by_default() {
    let trace = trace(&["--text", "Hello", "--max-steps", "12"]);
    assert_eq!(trace["task"], "t1a2");
    assert_eq!(lists(&trace)[0].len(), lists(&trace)[7].len());
}

#[test]
fn greedy_answers_repeat_and_seeds_differ() {
    let hello = |how: &[&str]| {
        let asked = ["--text", "Hello", "--max-steps", "12"];
        lists(&trace(&[&asked[..], how].concat()))
    };
    let greedy = || hello(&[]);
    assert_eq!(greedy(), greedy());
    let seeded = |seed| hello(&["--temperature", "1", "--seed", seed]);
    assert_eq!(seeded("1"), seeded("1"));
    assert_ne!(seeded("1"), seeded("2"));
    let one = hello(&["--temperature", "1", "--top-k", "1"]);
    assert_eq!(one, greedy(), "top-k 1 is greedy");
}

#[test]
fn sound_goes_through_pipes() {
    let model = model();
    let mut child = command(&["ask", text(&model), "-", "--out", "-", "--max-steps", "20"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let bytes = fs::read(question()).expect("a question");
    child
        .stdin
        .take()
        .expect("a pipe")
        .write_all(&bytes)
        .expect("written");
    let output = child.wait_with_output().expect("an end");
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(&output.stdout[..4], b"RIFF");
    assert!(
        output.stdout.len() > 44 + 2 * 2048,
        "{} bytes",
        output.stdout.len()
    );
}

#[test]
fn other_sample_rates_are_heard() {
    let folder = tempfile::tempdir().expect("a folder");
    let wav = folder.path().join("48k.wav");
    let samples: Vec<f32> = (0..48_000).map(|i| (i as f32 * 0.05).sin() * 0.3).collect();
    write_wav(&wav, 48_000, &samples);
    let how = ["--task", "a1t1", "--max-steps", "2", "--answer-anything"];
    let trace = trace(&[&[text(&wav)], &how[..]].concat());
    assert_eq!(trace["prompt_length"], 51 + 3, "one second is 51 features");
}

#[test]
fn a_clip_is_trimmed_only_for_those_who_ask() {
    let folder = tempfile::tempdir().expect("a folder");
    let wav = folder.path().join("late.wav");
    let asked = mini_omni::audio::read(&question()).expect("a question");
    let late = [
        vec![0.0; 80_000],
        asked.samples().to_vec(),
        vec![0.0; 80_000],
    ]
    .concat();
    write_wav(&wav, asked.sample_rate(), &late);
    let length = |how: &[&str]| {
        let all = [&[text(&wav), "--task", "a1t1", "--max-steps", "2"], how].concat();
        trace(&all)["prompt_length"].as_u64().expect("a length")
    };
    assert_eq!(length(&[]), length(&["--no-trim"]));
    assert!(length(&["--trim"]) < length(&[]) - 400);
}

#[test]
fn bad_questions_are_refused_in_a_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::write(at("letter.wav"), "dear model").expect("written");
    fs::write(at("empty.wav"), "").expect("written");
    write_wav(&at("silent.wav"), 16_000, &[]);
    write_wav(&at("nan.wav"), 16_000, &[0.0, f32::NAN]);
    write_wav(&at("long.wav"), 16_000, &vec![0.1; 31 * 16_000]);
    for (file, what) in [
        ("letter.wav", "not audio"),
        ("empty.wav", "empty"),
        ("silent.wav", "no s"),
        ("nan.wav", "NaN"),
        ("long.wav", "only 30 s are heard"),
        ("missing.wav", "cannot read"),
    ] {
        let (model, file) = (model(), at(file));
        let out = at("answer.wav");
        let output = mini_omni(&["ask", text(&model), text(&file), "--out", text(&out)]);
        assert_refused(&output, what);
        assert!(!out.exists(), "nothing is half-written");
    }
}

#[test]
fn a_long_clip_is_cut_only_for_those_who_insist() {
    let folder = tempfile::tempdir().expect("a folder");
    let long = folder.path().join("long.wav");
    write_wav(&long, 16_000, &vec![0.1; 31 * 16_000]);
    let trace = trace(&[
        text(&long),
        "--task",
        "a1t1",
        "--max-steps",
        "2",
        "--max-seconds",
        "30",
        "--answer-anything",
    ]);
    assert_eq!(trace["prompt_length"], 1503);
}

#[test]
fn contradictions_are_refused_in_a_sentence() {
    let (model, question) = (model(), question());
    let (model, question) = (text(&model), text(&question));
    for (args, what) in [
        (vec![model, "--text", "   "], "no words"),
        (vec![model, question, "--task", "t1t2"], "--text"),
        (
            vec![model, "--text", "hi", "--task", "a1t1"],
            "an audio file",
        ),
        (
            vec![model, question, "--task", "a1t1", "--out", "x.wav"],
            "does not speak",
        ),
        (
            vec![model, question, "--temperature", "-1"],
            "--temperature",
        ),
        (vec![model, question, "--top-p", "0"], "--top-p"),
        (
            vec![model, question, "--out", "-", "--trace", "-"],
            "standard output",
        ),
        (
            vec![model, question, "--out", "/nowhere/at/all.wav"],
            "cannot write",
        ),
        (
            vec![model, question, "--trace", "/nowhere/at/all.json"],
            "cannot write",
        ),
        (vec![model, question, "--provider", "cuda"], "cuda"),
        (
            vec![model, question, "--trim", "--no-trim"],
            "cannot be used",
        ),
        (vec![model], "required"),
        (vec!["/nowhere", question], "manifest.json"),
    ] {
        assert_refused(&mini_omni(&[&["ask"], &args[..]].concat()), what);
    }
    assert!(!Path::new("x.wav").exists());
}

#[test]
fn a_question_longer_than_the_cache_is_refused() {
    let model = model();
    let long = "word ".repeat(3000);
    assert_refused(
        &mini_omni(&["ask", text(&model), "--text", &long]),
        "positions",
    );
}

#[test]
fn without_onnx_runtime_the_error_names_the_places_and_the_remedy() {
    let (model, question) = (model(), question());
    let output = command(&["ask", text(&model), text(&question)])
        .env("ORT_DYLIB_PATH", "/nowhere/libonnxruntime.so")
        .output()
        .expect("the binary runs");
    assert_refused(&output, "ORT_DYLIB_PATH names /nowhere/libonnxruntime.so");
}
