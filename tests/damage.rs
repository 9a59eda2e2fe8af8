//! Deliberate damage to a model: `mini-omni compare` must notice it, name the stage, and with `--locate`
//! the node.

mod common;

use std::fs;
use std::path::{Path, PathBuf};

use common::onnx::{damage, damage_floats};
use common::*;
use safetensors::SafeTensors;
use safetensors::tensor::TensorView;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

/// A damaged copy of a model, and what compare says of it.
struct Damaged {
    folder: tempfile::TempDir,
    original: PathBuf,
}

impl Damaged {
    fn copy(original: PathBuf) -> Damaged {
        let folder = tempfile::tempdir().expect("a folder");
        copy_model(&original, folder.path());
        Damaged { folder, original }
    }

    fn graph(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Changes the manifest.
    fn edit(&self, edit: impl FnOnce(&mut Value)) {
        edit_json(&self.graph("manifest.json"), edit);
    }

    fn compare(&self, more: &[&str]) -> Value {
        let both = [
            text(self.folder.path()),
            "--reference",
            text(&self.original),
        ];
        report(&[&both[..], more].concat())
    }
}

fn edit_json(path: &Path, edit: impl FnOnce(&mut Value)) {
    let mut json = serde_json::from_slice(&fs::read(path).expect("a file")).expect("JSON");
    edit(&mut json);
    fs::write(path, json.to_string()).expect("written");
}

/// With few steps: damage shows at once.
fn report(args: &[&str]) -> Value {
    let output = mini_omni(&[&["compare"], args, &["--json", "-"]].concat());
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stderr(&output)))
}

/// The error of a stage.
fn error(report: &Value, stage: &str) -> f64 {
    let stages = report["stages"].as_array().expect("stages");
    let found = stages.iter().find(|found| found["stage"] == stage);
    let error = &found.unwrap_or_else(|| panic!("no stage {stage}"))["error"];
    error.as_f64().unwrap_or(f64::NAN)
}

/// The report must put `stage` at fault, and `graph`'s node `place` of that operator.
fn assert_at(report: &Value, stage: &str, graph: &str, place: &str, operator: &str) {
    assert_eq!(report["first_fault"], stage, "{:#}", report["stages"]);
    let located = &report["located"];
    let found = ["stage", "graph", "place", "operator"].map(|field| located[field].clone());
    assert_eq!(found, [stage, graph, place, operator], "{located:#}");
}

const STEPS: [&str; 3] = ["--max-steps", "12", "--locate"];

#[test]
fn two_swapped_rows_of_one_block_are_its_matmul() {
    let model = Damaged::copy(model());
    let (rows, columns) = (80, 240);
    let weight = "transformer.h.1.attn.attn.weight";
    damage_floats(&model.graph("decoder.onnx"), weight, |w| {
        // Stored transposed: a row of the checkpoint's is a column here.
        assert_eq!(w.len(), rows * columns);
        w.chunks_exact_mut(columns).for_each(|row| row.swap(3, 71));
    });
    let report = model.compare(&STEPS);
    assert_at(
        &report,
        "prompt-logits",
        "decoder.onnx",
        "MatMul_42",
        "MatMul",
    );
    assert_eq!(report["located"]["weights"], json!([weight]));
    assert_eq!(error(&report, "features"), 0.0, "the encoder is whole");
    assert_eq!(error(&report, "sound"), 0.0, "the codec is whole");
}

#[test]
fn another_base_of_the_rotation_is_the_first_attention() {
    let model = Damaged::copy(model());
    for (name, turn) in [
        ("rotary.cos", f32::cos as fn(f32) -> f32),
        ("rotary.sin", f32::sin),
    ] {
        let half = 8;
        let mut first = vec![0.0; half];
        damage_floats(&model.graph("decoder.onnx"), "rotary.cos", |cos| {
            first.copy_from_slice(&cos[half..2 * half]);
        });
        damage_floats(&model.graph("decoder.onnx"), name, |table| {
            for (position, row) in table.chunks_exact_mut(half).enumerate() {
                for (i, value) in row.iter_mut().enumerate() {
                    // A base twice as large.
                    let angle = 2f32.powf(-(i as f32) / half as f32)
                        / 10_000f32.powf(i as f32 / half as f32);
                    *value = turn(position as f32 * angle);
                }
            }
        });
    }
    let report = model.compare(&STEPS);
    let (place, operator) = ("CachedAttention_32", "CachedAttention");
    assert_at(&report, "prompt-logits", "decoder.onnx", place, operator);
    assert_eq!(
        report["located"]["weights"],
        json!(["rotary.cos", "rotary.sin"])
    );
}

#[test]
fn a_damaged_head_is_its_branch() {
    let model = Damaged::copy(model());
    damage_floats(&model.graph("decoder.onnx"), "head.audio", |w| {
        let half = w.len() / 2;
        w[..half].fill(0.0);
    });
    let report = model.compare(&STEPS);
    assert_at(&report, "prompt-logits", "decoder.onnx", "If_73", "If");
}

#[test]
fn a_delay_off_by_one_is_a_rule() {
    let model = Damaged::copy(model());
    model.edit(|manifest| manifest["delays"][2] = json!(4));
    let report = model.compare(&STEPS);
    assert_eq!(report["first_fault"], "rules");
    let place = report["located"]["place"].as_str().expect("a place");
    assert!(place.starts_with("delays [1, 2, 3, 4"), "{place}");
    assert!(report["located"]["graph"].is_null());
    assert_eq!(
        error(&report, "frames"),
        1.0,
        "every frame has another third id"
    );
    assert_eq!(error(&report, "step-logits"), 0.0, "the ids are the same");
}

#[test]
fn shifted_special_ids_are_rules_and_change_the_prompt() {
    let model = Damaged::copy(model());
    model.edit(|manifest| {
        for id in ["eoa", "pad_a", "input_a", "answer_a", "split"] {
            let shifted = manifest["ids"][id].as_i64().expect("an id") + 1;
            manifest["ids"][id] = json!(shifted);
        }
    });
    let report = model.compare(&STEPS);
    assert_eq!(report["first_fault"], "rules");
    let place = report["located"]["place"].as_str().expect("a place");
    for id in [
        "ids.eoa 128",
        "ids.pad_a 129",
        "ids.input_a 130",
        "ids.answer_a 131",
    ] {
        assert!(place.contains(id), "{place}");
    }
    assert!(error(&report, "prompt") > 0.5);
    assert!(error(&report, "prompt-logits") > 0.0);
}

#[test]
fn halved_scales_of_one_quantised_tensor_are_its_product() {
    let model = Damaged::copy(bundled());
    let weight = "transformer.h.1.mlp.fc_2.weight.scale";
    damage_floats(&model.graph("decoder.onnx"), weight, |scales| {
        scales.iter_mut().for_each(|scale| *scale /= 2.0);
    });
    let report = model.compare(&[text(&bundled_question()), "--max-steps", "4", "--locate"]);
    let (place, operator) = ("MatMulNBits_48", "MatMulNBits");
    assert_at(&report, "prompt-logits", "decoder.onnx", place, operator);
    let weights = report["located"]["weights"].as_array().expect("weights");
    assert!(weights.contains(&json!(weight)), "{weights:?}");
}

#[test]
fn a_codec_layer_padded_one_sample_late_is_its_subtraction() {
    let model = Damaged::copy(model());
    damage(&model.graph("codec_decoder.onnx"), "const_84", |bytes| {
        bytes[0] += 1
    });
    let report = model.compare(&STEPS);
    assert_at(&report, "sound", "codec_decoder.onnx", "Sub_85", "Sub");
    assert_eq!(error(&report, "frames"), 0.0);
}

/// A clip that begins in the middle of a sound, behind `silence` samples of nothing.
fn clip(path: &Path, silence: usize) {
    let sound =
        (0..16_000).map(|i| 0.3 * (1.0 + i as f32 * 0.21).sin() + 0.1 * (i as f32 * 0.7).sin());
    let samples: Vec<f32> = std::iter::repeat_n(0.0, silence).chain(sound).collect();
    write_wav(path, 16_000, &samples);
}

fn recorded(model: &Path, wav: &Path, folder: &Path) {
    let args = [
        "record",
        text(model),
        text(wav),
        "--out",
        text(folder),
        "--max-steps",
        "3",
    ];
    let output = mini_omni(&args);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
}

/// Replaces the array `name` of a recording's only question.
fn replace(recording: &Path, name: &str, values: &[f32]) {
    let path = recording.join("0000.safetensors");
    let file = fs::read(&path).expect("arrays");
    let arrays = SafeTensors::deserialize(&file).expect("safetensors");
    let bytes: Vec<u8> = values.iter().flat_map(|x| x.to_le_bytes()).collect();
    let views: Vec<(String, TensorView)> = arrays
        .tensors()
        .into_iter()
        .map(|(found, view)| match found == name {
            true => {
                let shape = view.shape().to_vec();
                let view = TensorView::new(view.dtype(), shape, &bytes).expect("a tensor");
                (found, view)
            }
            false => (found, view),
        })
        .collect();
    let written = safetensors::serialize(views, None).expect("safetensors");
    let hash: String = Sha256::digest(&written)
        .iter()
        .map(|b| format!("{b:02x}"))
        .collect();
    fs::write(&path, written).expect("written");
    edit_json(&recording.join("recording.json"), |json| {
        json["questions"][0]["sha256"] = json!(hash);
    });
}

#[test]
fn a_mel_without_reflection_is_its_first_frames() {
    let folder = tempfile::tempdir().expect("a folder");
    let [whole, late] = ["clip.wav", "late.wav"].map(|name| folder.path().join(name));
    let [recording, shifted] = ["recording", "shifted"].map(|name| folder.path().join(name));
    // Behind ten frames of silence the clip's edge is no mirror: seen from there, its frames are those
    // of a spectrogram that pads with zeros.
    clip(&whole, 0);
    clip(&late, 1600);
    recorded(&model(), &whole, &recording);
    recorded(&model(), &late, &shifted);
    let file = fs::read(shifted.join("0000.safetensors")).expect("arrays");
    let arrays = SafeTensors::deserialize(&file).expect("safetensors");
    let mel = arrays.tensor("mel").expect("a mel");
    let float = |bytes: &[u8]| f32::from_le_bytes(bytes.try_into().expect("four bytes"));
    let values: Vec<f32> = mel.data().chunks_exact(4).map(float).collect();
    let frames = mel.shape()[1];
    let moved: Vec<f32> = values
        .chunks_exact(frames)
        .flat_map(|band| band[10..].iter().chain(&band[frames - 10..]))
        .copied()
        .collect();
    replace(&recording, "mel", &moved);
    let report = report(&[text(&model()), "--reference", text(&recording)]);
    assert_eq!(report["first_fault"], "mel", "{:#}", report["stages"]);
    let stages = report["stages"].as_array().expect("stages");
    let mel = stages
        .iter()
        .find(|found| found["stage"] == "mel")
        .expect("mel");
    assert!(
        ["frame 0", "frame 1"].contains(&mel["at"].as_str().expect("a frame")),
        "{mel}"
    );
    assert_eq!(error(&report, "features"), 0.0, "only the mel was damaged");
}

#[test]
fn a_loosened_gate_falls_though_the_model_is_whole() {
    let folder = tempfile::tempdir().expect("a folder");
    let gates = folder.path().join("gates.toml");
    let model = model();
    let args = [
        "compare",
        text(&model),
        "--reference",
        text(&model),
        "--max-steps",
        "4",
    ];
    let held = [&args[..], &["--text", "Hello", "--gates", text(&gates)]].concat();
    let calibrate = mini_omni(&[&held[..], &["--calibrate"]].concat());
    assert_eq!(calibrate.status.code(), Some(0), "{}", stderr(&calibrate));
    assert_eq!(mini_omni(&held).status.code(), Some(0));
    let written = fs::read_to_string(&gates).expect("gates");
    let loosened = written.replacen("at_most = 0.00001", "at_most = 0.5", 1);
    assert_ne!(loosened, written, "{written}");
    fs::write(&gates, loosened).expect("written");
    let output = mini_omni(&held);
    assert_eq!(output.status.code(), Some(1));
    let said = stderr(&output);
    assert!(
        said.contains("fell: its limit, at most 0.5, is looser than"),
        "{said}"
    );
}
