//! `mini-omni compare`: a model against itself, against a coarser copy of itself, against another.

mod common;

use std::fs;
use std::path::Path;

use common::*;
use serde_json::{Value, json};

/// Bits cleared of each weight of the coarse copy: what 4 bits of mantissa leave.
const CLEARED: u32 = 19;

fn report(args: &[&str]) -> (Value, Option<i32>) {
    let output = mini_omni(&[&["compare"], args, &["--json", "-"]].concat());
    let report = serde_json::from_slice(&output.stdout);
    (
        report.unwrap_or_else(|e| panic!("{e}: {}", stderr(&output))),
        output.status.code(),
    )
}

/// A copy of the committed model with weights as coarse as a quantised one's. They stand in for an
/// int4 export, which needs the exporter (`export/tests/test_compare.py` has one).
fn coarse_copy(folder: &Path) {
    copy_model(&model(), folder);
    for graph in ["encoder.onnx.data", "decoder.onnx.data"] {
        let path = folder.join(graph);
        let mut bytes = fs::read(&path).expect("weights");
        for weight in bytes.chunks_exact_mut(4) {
            let bits = u32::from_le_bytes([weight[0], weight[1], weight[2], weight[3]]);
            weight.copy_from_slice(&(bits >> CLEARED << CLEARED).to_le_bytes());
        }
        fs::write(path, bytes).expect("written");
    }
}

fn trace(model: &Path, input: &[&str]) -> Vec<Vec<i64>> {
    let args = [&["ask", text(model)], input, &["--max-steps", "30"]].concat();
    let output = mini_omni(&[&args[..], &["--trace", "-"]].concat());
    let trace: Value = serde_json::from_slice(&output.stdout).expect("a trace");
    serde_json::from_value(trace["tokens"].clone()).expect("lists of ids")
}

#[test]
fn a_model_is_exactly_itself() {
    let (model, question) = (model(), question());
    let both = [text(&model), "--reference", text(&model)];
    for inputs in [
        vec![],
        vec![text(&question), "--task", "a1t1"],
        vec![text(&question), "--text", "Hello", "--text", "Why?"],
    ] {
        let args = [&both, &inputs[..], &["--min-agreement", "1", "--locate"]].concat();
        let (report, code) = report(&args);
        assert_eq!(code, Some(0));
        assert_eq!(report["agreement"], 1.0);
        assert!(report["first_fault"].is_null() && report["located"].is_null());
        for figures in report["streams"].as_array().expect("streams") {
            if figures["of"] != 0 {
                let zeros = json!({"mean": 0.0, "median": 0.0, "p99": 0.0, "max": 0.0});
                assert_eq!(figures["kl_nats"], zeros);
                assert_eq!(figures["standard_error"], 0.0);
            }
        }
        for asked in report["inputs"].as_array().expect("inputs") {
            assert!(asked["divergence"].is_null(), "{asked}");
            assert_eq!(asked["reference"], asked["candidate"]);
            for stage in asked["stages"].as_array().expect("stages") {
                assert_eq!(stage["error"], 0.0, "{stage}");
                assert!(stage["at"].is_null(), "{stage}");
            }
            if !asked["features"].is_null() {
                assert_eq!(asked["features"]["max_difference"], 0.0);
                assert_eq!(asked["features"]["cosine"], 1.0);
            }
            assert_eq!(asked["prefill"]["text"]["max_difference"], 0.0);
            assert_eq!(asked["teacher_forced"]["logits"]["text"]["kl_nats"], 0.0);
            if asked["task"] != "a1t1" {
                assert_eq!(asked["prefill"]["audio"]["kl_nats"], 0.0);
                assert_eq!(asked["pcm"]["max_difference"], 0.0);
                assert!(asked["pcm"]["snr_db"].is_null(), "equal sound has no noise");
                assert_eq!(asked["pcm"]["own"]["log_spectral_distance_db"], 0.0);
            }
        }
    }
}

#[test]
fn a_coarser_model_is_told_from_its_original() {
    let folder = tempfile::tempdir().expect("a folder");
    coarse_copy(folder.path());
    let (model, question) = (model(), question());
    let (report, code) = report(&[
        text(folder.path()),
        "--reference",
        text(&model),
        text(&question),
        "--text",
        "What is your name?",
        "--max-steps",
        "30",
    ]);
    assert_eq!(code, Some(0), "without --min-agreement it only reports");
    let agreement = report["agreement"].as_f64().expect("a share");
    assert!((0.2..0.999).contains(&agreement), "{agreement}");
    assert_eq!(report["streams"].as_array().expect("streams").len(), 8);
    let spoken = &report["inputs"][0];
    assert!(spoken["features"]["cosine"].as_f64().expect("cosine") > 0.9);
    for kind in ["text", "audio"] {
        let kl = spoken["prefill"][kind]["kl_nats"].as_f64().expect("nats");
        assert!(kl > 0.0 && kl < 1.0, "{kind}: {kl}");
    }
    assert_eq!(spoken["pcm"]["max_difference"], 0.0, "the codecs are equal");
}

#[test]
fn answers_part_where_the_two_models_asked_alone_part() {
    let folder = tempfile::tempdir().expect("a folder");
    coarse_copy(folder.path());
    let (model, question) = (model(), question());
    for input in [vec![text(&question)], vec!["--text", "What is your name?"]] {
        let both = [text(folder.path()), "--reference", text(&model)];
        let args = [&both, &input[..], &["--max-steps", "30"]].concat();
        let (report, _) = report(&args);
        let divergence = &report["inputs"][0]["divergence"];
        let step = divergence["step"].as_u64().expect("they part") as usize;
        let (ours, theirs) = (trace(folder.path(), &input), trace(&model, &input));
        let at = |step: usize| ours.iter().zip(&theirs).all(|(a, b)| a[step] == b[step]);
        assert!((0..step).all(at) && !at(step), "step {step}");
        let stream = divergence["stream"].as_u64().expect("a stream") as usize;
        assert_eq!(divergence["reference"], theirs[stream][step]);
        assert_eq!(divergence["candidate"], ours[stream][step]);
        assert!(divergence["margin"].as_f64().expect("a margin") > 0.0);
        assert_eq!(report["inputs"][0]["candidate"]["steps"], ours[7].len());
    }
}

#[test]
fn too_little_agreement_is_exit_code_1_and_still_reported() {
    let folder = tempfile::tempdir().expect("a folder");
    coarse_copy(folder.path());
    let [json, junit, markdown] = ["c.json", "j.xml", "s.md"].map(|name| folder.path().join(name));
    let model = model();
    let output = mini_omni(&[
        "compare",
        text(folder.path()),
        "--reference",
        text(&model),
        "--max-steps",
        "10",
        "--min-agreement",
        "0.9999",
        "--json",
        text(&json),
        "--junit",
        text(&junit),
        "--markdown",
        text(&markdown),
    ]);
    assert_eq!(output.status.code(), Some(1), "{}", stderr(&output));
    assert!(stderr(&output).contains("gate --min-agreement fell: 0."));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for word in ["built-in sound", "KL nats", "agreement"] {
        assert!(said.contains(word), "{said}");
    }
    let report: Value = serde_json::from_slice(&fs::read(json).expect("a report")).expect("JSON");
    assert!(report["agreement"].as_f64().expect("a share") < 0.9999);
    let gate = &report["gates"][0];
    assert_eq!(
        (&gate["gate"], &gate["passed"]),
        (&json!("--min-agreement"), &json!(false))
    );
    assert_eq!(gate["value"], report["agreement"]);
    let read = |path: &Path| fs::read_to_string(path).expect("a file");
    let (junit, markdown) = (read(&junit), read(&markdown));
    assert!(junit.contains("tests=\"1\" failures=\"1\""), "{junit}");
    assert!(markdown.contains("| --min-agreement | 0.") && markdown.contains("**fell**"));
}

#[test]
fn encoder_windows_are_compared() {
    let (model, question) = (model(), question());
    let windows = |ours: &str, theirs: &str| {
        let both = [text(&model), "--reference", text(&model), text(&question)];
        let window = [
            "--encoder-window",
            ours,
            "--reference-encoder-window",
            theirs,
        ];
        let (report, _) = report(&[&both[..], &window, &["--max-steps", "3"]].concat());
        report["inputs"][0]["features"]["max_difference"]
            .as_f64()
            .expect("a difference")
    };
    assert_eq!(windows("short", "short"), 0.0);
    assert!(windows("short", "full") > 0.0);
    assert_eq!(windows("full", "short"), windows("short", "full"));
}

#[test]
fn where_no_node_is_at_fault_locate_says_why() {
    let (model, question) = (model(), question());
    let both = [text(&model), "--reference", text(&model), text(&question)];
    let windows = [
        "--encoder-window",
        "short",
        "--reference-encoder-window",
        "full",
    ];
    let more = ["--max-steps", "3", "--locate", "--band", "1e-9"];
    let (report, _) = report(&[&both[..], &windows, &more].concat());
    assert_eq!(report["first_fault"], "features");
    assert!(report["located"].is_null());
    let why = report["not_located"].as_str().expect("a sentence");
    assert!(why.contains("windows differ, full in the reference and short in the candidate"));
}

#[test]
fn the_merged_window_hears_nearly_what_the_full_one_does() {
    let (model, question) = (bundled(), bundled_question());
    let features = |ours: &[&str], theirs: &str| {
        let both = [text(&model), "--reference", text(&model), text(&question)];
        let theirs = ["--reference-encoder-window", theirs, "--max-steps", "3"];
        let (report, _) = report(&[&both[..], ours, &theirs].concat());
        let features = report["inputs"][0]["features"].clone();
        let number = |name: &str| features[name].as_f64().expect("a number");
        (number("cosine"), number("max_difference"))
    };
    let (cosine, difference) = features(&["--encoder-window", "merged"], "full");
    assert!(cosine > 0.998 && difference > 0.0, "{cosine} {difference}");
    assert_eq!(features(&[], "merged").1, 0.0, "the model's own default");
    let (short, _) = features(&["--encoder-window", "short"], "full");
    assert!(short < cosine, "{short}");
}

#[test]
fn profiles_agree_on_every_id() {
    let folder = root().join("tests/fixtures/tiny");
    let (fused, portable) = (folder.join("fused"), folder.join("portable"));
    let (report, code) = report(&[
        text(&portable),
        "--reference",
        text(&fused),
        "--min-agreement",
        "1",
    ]);
    assert_eq!((code, &report["agreement"]), (Some(0), &Value::from(1.0)));
}

#[test]
fn what_cannot_be_compared_is_refused_in_a_sentence() {
    let (model, question) = (model(), question());
    let other = root().join("tests/fixtures/tiny/fused");
    let folder = tempfile::tempdir().expect("a folder");
    let long = folder.path().join("long.wav");
    write_wav(&long, 16_000, &vec![0.1; 31 * 16_000]);
    let both = [text(&model), "--reference", text(&model)];
    for (args, what) in [
        (
            vec![text(&other), "--reference", text(&model)],
            "text vocabulary is 320 in the reference",
        ),
        (vec![text(&model)], "--reference"),
        (
            vec![text(&model), "--reference", "/nowhere"],
            "cannot read --reference /nowhere; give a model folder, or a recording",
        ),
        (
            vec![text(&model), "--reference", text(&question)],
            "is no folder",
        ),
        (
            vec![text(&model), "--reference", text(folder.path())],
            "it has no manifest.json and no recording.json",
        ),
        (
            [&both[..], &["--gates", text(folder.path())]].concat(),
            "it is no file of at most",
        ),
        ([&both[..], &["/nowhere.wav"]].concat(), "/nowhere.wav"),
        ([&both[..], &[text(&long)]].concat(), "lasts 31"),
        ([&both[..], &["--text", "  "]].concat(), "no words"),
        (
            [&both[..], &["--min-agreement", "1.5"]].concat(),
            "--min-agreement 1.5",
        ),
        (
            [&both[..], &["--min-agreement", "-1"]].concat(),
            "--min-agreement -1",
        ),
        ([&both[..], &["--band", "inf"]].concat(), "--band inf"),
        ([&both[..], &["--band", "nan"]].concat(), "--band NaN"),
        (
            [&both[..], &["--json", "/nowhere/at/all.json"]].concat(),
            "cannot write",
        ),
        (
            [&both[..], &[text(&question), "--provider", "cuda"]].concat(),
            "cuda",
        ),
    ] {
        assert_refused(&mini_omni(&[&["compare"], &args[..]].concat()), what);
    }
}

/// What each form of output says of a model whose gates are those of its original.
#[test]
fn every_output_names_the_gate_that_fell() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = |name: &str| folder.path().join(name);
    coarse_copy(&file("coarse"));
    let (model, gates) = (model(), file("gates.toml"));
    let asked = [
        "--text",
        "<b>Why?</b>",
        "--max-steps",
        "12",
        "--gates",
        text(&gates),
    ];
    let original = [
        &["compare", text(&model), "--reference", text(&model)],
        &asked[..],
    ];
    let calibrated = mini_omni(&[&original.concat()[..], &["--calibrate"]].concat());
    assert_eq!(calibrated.status.code(), Some(0), "{}", stderr(&calibrated));
    let [coarse, junit, markdown, html] = ["coarse", "j.xml", "s.md", "p.html"].map(file);
    let output = mini_omni(
        &[
            &["compare", text(&coarse), "--reference", text(&model)],
            &asked[..],
            &[
                "--junit",
                text(&junit),
                "--markdown",
                text(&markdown),
                "--html",
                text(&html),
            ],
        ]
        .concat(),
    );
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    for gate in ["audio.kl-mean", "prompt-logits.error"] {
        assert!(said.contains(&format!("gate {gate} fell: ")), "{said}");
    }
    assert!(
        !said.contains("gate sound.error fell"),
        "the codec is whole: {said}"
    );
    let read = |path: &Path| fs::read_to_string(path).expect("a file");
    let (junit, markdown, html) = (read(&junit), read(&markdown), read(&html));
    assert!(
        junit.contains("name=\"audio.kl-mean\">\n   <failure message=\"gate audio.kl-mean fell")
    );
    assert!(junit.contains("name=\"sound.error\"/>"), "{junit}");
    assert!(markdown.contains("gates fell.**") && markdown.contains("&lt;b&gt;Why?"));
    assert!(markdown.contains("first stage beyond the band of 0.001: prompt-logits"));
    assert!(!html.contains("__DATA__") && html.contains("data:audio/wav;base64,"));
    let names = html.replace("http://www.w3.org/2000/svg", "");
    assert!(!names.contains("://"), "the page asks no network");
}
