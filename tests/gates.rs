//! The bundled model against what it was recorded to say, by the committed gates
//! (`tests/fixtures/bundled/record.sh`).

mod common;

use std::path::Path;
use std::process::Output;

use common::onnx::damage_floats;
use common::*;

fn held(model: &Path) -> Output {
    let goldens = root().join("tests/fixtures/bundled");
    let (recording, gates) = (goldens.join("recording"), goldens.join("gates.toml"));
    let by = ["--reference", text(&recording), "--gates", text(&gates)];
    mini_omni(&[&["compare", text(model)], &by[..]].concat())
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
