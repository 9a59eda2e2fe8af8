//! `mini-omni record`, and models held against what was recorded.

mod common;

use std::fs;
use std::path::Path;

use common::onnx::damage_floats;
use common::*;
use safetensors::SafeTensors;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A change of the index.
type Edit = fn(&mut Value);

const STEPS: [&str; 2] = ["--max-steps", "20"];

fn record(model: &Path, folder: &Path) {
    let question = question();
    let asked = [text(&question), "--text", "What is your name?"];
    let args = [
        "record",
        text(model),
        asked[0],
        asked[1],
        asked[2],
        "--out",
        text(folder),
    ];
    let output = mini_omni(&[&args[..], &STEPS].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

fn report(args: &[&str]) -> Value {
    let output = mini_omni(&[&["compare"], args, &["--json", "-"]].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stderr(&output)))
}

#[test]
fn a_model_says_what_it_was_recorded_to_say() {
    let folder = tempfile::tempdir().expect("a folder");
    let (model, goldens) = (model(), folder.path().join("goldens"));
    record(&model, &goldens);
    let report = report(&[text(&model), "--reference", text(&goldens)]);
    assert_eq!(
        (&report["agreement"], &report["recorded"]),
        (&json!(1.0), &json!(true))
    );
    assert_eq!(report["max_steps"], 20, "as they were recorded");
    assert_eq!(report["inputs"].as_array().expect("inputs").len(), 2);
    for asked in report["inputs"].as_array().expect("inputs") {
        assert!(asked["divergence"].is_null());
        assert_eq!(asked["reference"], asked["candidate"]);
        for stage in asked["stages"].as_array().expect("stages") {
            assert_eq!(stage["error"], 0.0, "{stage}");
        }
    }
    for figures in report["streams"].as_array().expect("streams") {
        assert_eq!(
            figures["kl_nats"]["max"], 0.0,
            "logits of some steps are compared"
        );
    }
}

#[test]
fn another_model_is_as_far_from_a_recording_as_from_the_model_itself() {
    let folder = tempfile::tempdir().expect("a folder");
    let (original, goldens) = (model(), folder.path().join("goldens"));
    record(&original, &goldens);
    let coarse = folder.path().join("coarse");
    copy_model(&original, &coarse);
    let path = coarse.join("decoder.onnx.data");
    let mut bytes = fs::read(&path).expect("weights");
    for weight in bytes.chunks_exact_mut(4) {
        weight[..2].fill(0);
        weight[2] &= 0xf0;
    }
    fs::write(path, bytes).expect("written");
    let question = question();
    let asked = [text(&question), "--text", "What is your name?"];
    let args = [text(&coarse), "--reference", text(&original)];
    let live = report(&[&args[..], &asked, &STEPS].concat());
    let recorded = report(&[text(&coarse), "--reference", text(&goldens)]);
    assert!(live["agreement"].as_f64().expect("a share") < 1.0);
    assert_eq!(live["agreement"], recorded["agreement"]);
    assert_eq!(live["first_fault"], recorded["first_fault"]);
    for (live, recorded) in [0, 1].map(|i| (&live["inputs"][i], &recorded["inputs"][i])) {
        for same in ["reference", "candidate", "pcm", "features", "prefill"] {
            assert_eq!(live[same], recorded[same], "{same}");
        }
        assert_eq!(live["divergence"]["step"], recorded["divergence"]["step"]);
        assert_eq!(
            live["divergence"]["candidate"],
            recorded["divergence"]["candidate"]
        );
    }
}

/// Killed at any moment: there is nothing, or all of it.
#[test]
fn a_record_that_is_killed_leaves_no_half_recording() {
    let folder = tempfile::tempdir().expect("a folder");
    let (model, goldens) = (model(), folder.path().join("goldens"));
    let asked = [
        "record",
        text(&model),
        "--out",
        text(&goldens),
        "--max-steps",
        "1500",
    ];
    let texts = ["--text", "Hello"].repeat(50);
    let mut child = command(&[&asked[..], &texts].concat())
        .spawn()
        .expect("the binary");
    std::thread::sleep(std::time::Duration::from_millis(1500));
    child.kill().expect("killed");
    child.wait().expect("it ends");
    let left = fs::read_dir(folder.path()).expect("a folder").count();
    assert!(left == 0 || goldens.join("recording.json").exists());
}

#[test]
fn what_is_no_number_agrees_with_nothing_and_is_not_recorded() {
    let folder = tempfile::tempdir().expect("a folder");
    let (broken, goldens) = (folder.path().join("broken"), folder.path().join("goldens"));
    copy_model(&model(), &broken);
    let weight = "transformer.h.1.attn.attn.weight";
    damage_floats(&broken.join("decoder.onnx"), weight, |w| w[0] = f32::NAN);
    let asked = ["--text", "Hello", "--max-steps", "4"];
    let itself = [text(&broken), "--reference", text(&broken)];
    let itself = report(&[&itself[..], &asked].concat());
    let found = ["agreement", "same_answers", "first_fault"].map(|field| itself[field].clone());
    assert_eq!(found, [json!(0.0), json!(0.0), json!("prompt-logits")]);
    let stages = itself["stages"].as_array().expect("stages");
    let stage = stages
        .iter()
        .find(|stage| stage["stage"] == "prompt-logits");
    let at = &stage.expect("the stage")["at"];
    let expected = "step 0, stream 0 of the reference: its logits are no finite numbers";
    assert_eq!(at, expected);
    let args = ["record", text(&broken), "--out", text(&goldens)];
    let recorded = mini_omni(&[&args[..], &asked].concat());
    assert_refused(
        &recorded,
        "values of its logits at step 0 are no finite numbers",
    );
    assert!(!goldens.join("recording.json").exists());
}

#[test]
fn what_is_no_recording_is_refused_in_a_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    let (model, goldens) = (model(), folder.path().join("goldens"));
    record(&model, &goldens);
    let against = |what: &str| {
        let args = ["compare", text(&model), "--reference", text(&goldens)];
        assert_refused(&mini_omni(&args), what);
    };
    let (index, arrays) = (
        goldens.join("recording.json"),
        goldens.join("0000.safetensors"),
    );
    let whole: Value = serde_json::from_slice(&fs::read(&index).expect("JSON")).expect("JSON");
    let edits: [(Edit, &str); 21] = [
        (|json| json["questions"] = json!([]), "it has no question"),
        (
            |json| json["format_version"] = json!(2),
            "has format_version 2",
        ),
        (
            |json| json["questions"][0]["file"] = json!("../secret"),
            "../secret",
        ),
        (|json| json["questions"][0]["sha256"] = json!("0"), "sha256"),
        (|json| json["questions"][0]["task"] = json!("a9"), "no task"),
        (
            |json| json["questions"][0]["task"] = json!("t1a2"),
            "questions of its kind",
        ),
        (
            |json| json["questions"][0]["name"] = json!("a\nb"),
            "do not show",
        ),
        (
            |json| json["questions"][1]["text"] = json!(" "),
            "neither a text with words",
        ),
        (
            |json| json["questions"][0]["steps"] = json!(0),
            "its steps are 0",
        ),
        (
            |json| json["questions"][0]["max_steps"] = json!(3),
            "with max_steps 3",
        ),
        (
            |json| {
                json["questions"][0]["steps"] = json!(1_000_000_000_000u64);
                json["questions"][0]["max_steps"] = json!(1_000_000_000_000u64);
            },
            "a model of 2048 positions",
        ),
        (
            |json| json["questions"][0]["answer"]["steps"] = json!(21),
            "has 21 steps",
        ),
        (
            |json| json["questions"][0]["sample_rate"] = json!(8000),
            "at that sample rate",
        ),
        (
            |json| json["questions"][0]["sample_rate"] = json!(7),
            "sample rate",
        ),
        (
            |json| json["model"]["encoder_window"] = json!("wide"),
            "none of full",
        ),
        (
            |json| json["model"]["encoder_window"] = json!("short"),
            "in the short window",
        ),
        (
            |json| json["model"]["provider"] = json!("abacus"),
            "\"abacus\" is none of cpu",
        ),
        (
            |json| json["model"]["kernels"] = json!("beans"),
            "\"beans\" is none of",
        ),
        (
            |json| json["model"]["hash"] = json!("0"),
            "model's hash is \"0\"",
        ),
        (|json| json["threads"] = json!(0), "threads are 0"),
        (|json| json["manifest"]["delays"] = json!([1]), "delays"),
    ];
    for (edit, what) in edits {
        let mut json = whole.clone();
        edit(&mut json);
        fs::write(&index, json.to_string()).expect("written");
        against(what);
    }
    fs::write(&index, whole.to_string()).expect("written");
    let bytes = fs::read(&arrays).expect("arrays");
    fs::write(&arrays, &bytes[..bytes.len() / 2]).expect("written");
    against("sha256");
    fs::remove_file(&arrays).expect("removed");
    against("cannot read");
    fs::write(&index, "{").expect("written");
    against("not JSON");
}

/// Changes the bytes of an array, and the sum that the index has of its file.
fn edit_array(goldens: &Path, name: &str, edit: fn(&mut [u8])) {
    let (index, arrays) = (
        goldens.join("recording.json"),
        goldens.join("0000.safetensors"),
    );
    let mut bytes = fs::read(&arrays).expect("arrays");
    let file = SafeTensors::deserialize(&bytes).expect("arrays");
    let data = file.tensor(name).expect("the array").data();
    let at = data.as_ptr() as usize - bytes.as_ptr() as usize;
    let range = at..at + data.len();
    edit(&mut bytes[range]);
    let mut json: Value = serde_json::from_slice(&fs::read(&index).expect("JSON")).expect("JSON");
    let sum = Sha256::digest(&bytes)
        .into_iter()
        .map(|b| format!("{b:02x}"));
    json["questions"][0]["sha256"] = json!(sum.collect::<String>());
    fs::write(arrays, bytes).expect("written");
    fs::write(index, json.to_string()).expect("written");
}

/// A change to an array's bytes.
type ArrayEdit = fn(&mut [u8]);

#[test]
fn arrays_that_cannot_be_an_answer_are_refused_in_a_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    let (model, goldens) = (model(), folder.path().join("goldens"));
    record(&model, &goldens);
    let edits: [(&str, ArrayEdit, &str); 7] = [
        (
            "sound",
            |sound| sound[..4].copy_from_slice(&f32::NAN.to_le_bytes()),
            "values of sound are no finite numbers",
        ),
        ("frames", |frames| frames[2] = 1, "which is no code"),
        ("ids", |ids| ids[7] = 0x40, "which is no id"),
        ("prompt", |ids| ids[7] = 0x40, "its prompt has"),
        (
            "audio_logit_steps",
            |steps| steps[16] = 99,
            "and no such step",
        ),
        (
            "text_logit_steps",
            |steps| steps[..8].fill(0xff),
            "not in order",
        ),
        (
            "audio_logits",
            |logits| logits[..4].copy_from_slice(&1e6f32.to_le_bytes()),
            "stream 0, do not say its id",
        ),
    ];
    for (name, edit, what) in edits {
        let damaged = folder.path().join(name);
        copy_model(&goldens, &damaged);
        edit_array(&damaged, name, edit);
        let args = ["compare", text(&model), "--reference", text(&damaged)];
        assert_refused(&mini_omni(&args), what);
    }
}

#[test]
fn a_recording_is_made_in_a_folder_of_its_own_and_never_written_over() {
    let folder = tempfile::tempdir().expect("a folder");
    let (model, goldens) = (model(), folder.path().join("goldens"));
    record(&model, &goldens);
    let again = [
        "record",
        text(&model),
        "--text",
        "Hello",
        "--out",
        text(&goldens),
    ];
    assert_refused(&mini_omni(&again), "is not empty");
    let file = goldens.join("recording.json");
    let onto = ["record", text(&model), "--out", text(&file)];
    assert_refused(&mini_omni(&onto), "it is there and no folder");
    let index = goldens.join("recording.json");
    let over = [
        "compare",
        text(&model),
        "--reference",
        text(&goldens),
        "--json",
        text(&index),
    ];
    assert_refused(&mini_omni(&over), "would overwrite a file of the recording");
    let inside = [
        "compare",
        text(&model),
        "--reference",
        text(&goldens),
        "--locate",
    ];
    assert_refused(&mini_omni(&inside), "--locate needs the reference itself");
    let output = mini_omni(&[
        "compare",
        text(&model),
        "--reference",
        text(&goldens),
        "--text",
        "Hi",
    ]);
    assert!(
        stderr(&output).contains("note: --text has no effect"),
        "{}",
        stderr(&output)
    );
}
