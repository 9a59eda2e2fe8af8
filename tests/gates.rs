//! Gates: the bundled model against what it was recorded to say, by the committed ones
//! (`tests/fixtures/bundled/record.sh`), and those that make no sense.

mod common;

use std::fs;
use std::path::Path;
use std::process::Output;

use common::onnx::damage_floats;
use common::*;

fn held(model: &Path) -> Output {
    held_with(model, &[])
}

fn held_with(model: &Path, options: &[&str]) -> Output {
    let goldens = root().join("tests/fixtures/bundled");
    let (recording, gates) = (goldens.join("recording"), goldens.join("gates.toml"));
    let by = ["--reference", text(&recording), "--gates", text(&gates)];
    mini_omni(&[&["compare", text(model)], &by[..], options].concat())
}

#[test]
fn the_bundled_model_says_what_it_was_recorded_to_say() {
    let output = held(&bundled());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(said.contains("gates: 19 hold, 0 fell"), "{said}");
}

#[test]
fn a_model_with_one_weaker_product_falls_and_the_gates_say_so() {
    let folder = tempfile::tempdir().expect("a folder");
    copy_model(&bundled(), folder.path());
    let scales = "transformer.h.3.mlp.proj.weight.scale";
    damage_floats(&folder.path().join("decoder.onnx"), scales, |scales| {
        scales.iter_mut().for_each(|scale| *scale *= 0.8);
    });
    let output = held(folder.path());
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    let said = stderr(&output);
    for gate in ["prompt-logits.error", "step-logits.error"] {
        assert!(said.contains(&format!("gate {gate} fell")), "{said}");
    }
    for gate in ["features.error", "sound.error", "frames.error"] {
        assert!(!said.contains(gate), "what is whole holds: {said}");
    }
}

#[test]
fn every_output_says_what_computed_each_side() {
    let folder = tempfile::tempdir().expect("a folder");
    let files = ["j.json", "j.xml", "s.md", "p.html"].map(|name| folder.path().join(name));
    let [json, junit, markdown, html] = files.each_ref().map(|file| text(file));
    let written = [
        ["--json", json],
        ["--junit", junit],
        ["--markdown", markdown],
        ["--html", html],
    ];
    let means = ["--kernels", "plain", "--threads", "1"];
    let output = held_with(&bundled(), &[&means[..], &written.concat()].concat());
    let read = |file: &str| fs::read_to_string(file).expect("a file");
    let report: serde_json::Value = serde_json::from_str(&read(json)).expect("JSON");
    let (ours, theirs) = (&report["candidate"], &report["reference"]);
    assert_eq!(
        (&ours["kernels"], &ours["threads"]),
        (&"plain".into(), &1.into())
    );
    let kernels = theirs["kernels"]
        .as_str()
        .expect("those it was recorded with");
    let version = theirs["onnxruntime"].as_str().expect("a version");
    let said = [
        format!("cpu, plain kernels, 1 threads, ONNX Runtime {version}, mini-omni "),
        format!("cpu, {kernels} kernels, 2 threads, ONNX Runtime {version}, mini-omni "),
    ];
    let shown = String::from_utf8_lossy(&output.stdout).into_owned();
    for text in [shown, read(junit), read(markdown)] {
        for side in &said {
            assert!(text.contains(side), "{side} is not in {text}");
        }
    }
    assert!(read(html).contains("\"kernels\":\"plain\",\"threads\":1"));
}

#[test]
fn gates_that_make_no_sense_are_refused_with_their_name() {
    let folder = tempfile::tempdir().expect("a folder");
    let (gates, model) = (folder.path().join("gates.toml"), model());
    let args = [
        "compare",
        text(&model),
        "--reference",
        text(&model),
        "--text",
        "Hello",
    ];
    let args = [&args[..], &["--max-steps", "12", "--gates", text(&gates)]].concat();
    let calibrated = mini_omni(&[&args[..], &["--calibrate"]].concat());
    assert_eq!(calibrated.status.code(), Some(0), "{}", stderr(&calibrated));
    let whole = fs::read_to_string(&gates).expect("gates");
    for (from, to, what) in [
        (
            "format_version = 1",
            "format_version = 2",
            "format_version 2",
        ),
        (
            "[gates.\"sound.error\"]",
            "[gates.\"smell.error\"]",
            "smell.error",
        ),
        ("at_least", "at_most", "its limit is at_least"),
        ("slack = 0.0001", "slack = -1.0", "not negative"),
        ("worst = 0.0", "worst = \"none\"", "no file of gates"),
        (
            "reason = \"the codec, given the same ids\"",
            "reason = \"\"",
            "reason is empty",
        ),
    ] {
        let damaged = whole.replacen(from, to, 1);
        assert_ne!(damaged, whole, "no {from} in {whole}");
        fs::write(&gates, damaged).expect("written");
        assert_refused(&mini_omni(&args), what);
    }
    let (_, limits) = whole.split_once("[gates.").expect("gates");
    fs::write(&gates, format!("format_version = 1\n[gates.{limits}")).expect("written");
    assert_refused(&mini_omni(&args), "has no [calibrated]");
    fs::write(&gates, "format_version = 2").expect("written");
    assert_refused(&mini_omni(&args), "has format_version 2");
    let (head, _) = whole.split_once("[gates.").expect("gates");
    fs::write(&gates, format!("{head}[gates]\n")).expect("written");
    assert_refused(&mini_omni(&args), "has no gate");
}

#[test]
fn a_calibration_does_not_leave_a_chosen_gate_away() {
    let folder = tempfile::tempdir().expect("a folder");
    let (gates, model, question) = (folder.path().join("gates.toml"), model(), question());
    let calibrated = |asked: &[&str]| {
        let both = ["compare", text(&model), "--reference", text(&model)];
        let more = ["--max-steps", "3", "--calibrate", "--gates", text(&gates)];
        mini_omni(&[&both, asked, &more].concat())
    };
    let spoken = calibrated(&[text(&question)]);
    assert_eq!(spoken.status.code(), Some(0), "{}", stderr(&spoken));
    let whole = fs::read_to_string(&gates).expect("gates");
    assert_refused(
        &calibrated(&["--text", "Hello"]),
        "cannot calibrate mel.error: these questions have no such figure",
    );
    assert_eq!(fs::read_to_string(&gates).expect("gates"), whole);
}
