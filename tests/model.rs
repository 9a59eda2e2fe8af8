//! Model folders: inspected, verified, damaged.

mod common;

use std::fs;

use common::*;

#[test]
fn inspect_shows_the_model_and_verify_checks_it() {
    let model = model();
    let output = mini_omni(&["inspect", text(&model), "--verify"]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{}", stderr(&output));
    for word in ["decoder.onnx", "random", "24000 Hz", "verified"] {
        assert!(said.contains(word), "{said}");
    }
}

#[test]
fn a_changed_file_is_found_by_verify() {
    let folder = tempfile::tempdir().expect("a folder");
    copy_model(&model(), folder.path());
    let tokenizer = folder.path().join("tokenizer.json");
    let mut bytes = fs::read(&tokenizer).expect("a file");
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    fs::write(&tokenizer, bytes).expect("written");
    assert_refused(
        &mini_omni(&["inspect", text(folder.path()), "--verify"]),
        "tokenizer.json differ",
    );
}

#[test]
fn incomplete_and_foreign_models_are_refused_in_a_sentence() {
    let question = question();
    let damaged = |damage: &dyn Fn(&std::path::Path)| {
        let folder = tempfile::tempdir().expect("a folder");
        copy_model(&model(), folder.path());
        damage(folder.path());
        mini_omni(&["ask", text(folder.path()), text(&question)])
    };
    let edit = |from: &'static str, to: &'static str| {
        move |folder: &std::path::Path| {
            let path = folder.join("manifest.json");
            let manifest = fs::read_to_string(&path).expect("a manifest");
            assert!(manifest.contains(from), "{from} is in the manifest");
            fs::write(&path, manifest.replacen(from, to, 1)).expect("written");
        }
    };
    let missing = damaged(&|folder| fs::remove_file(folder.join("decoder.onnx")).expect("removed"));
    assert_refused(&missing, "decoder.onnx is missing");
    let cut = damaged(&|folder| fs::write(folder.join("decoder.onnx"), "x").expect("written"));
    assert_refused(&cut, "bytes");
    assert_refused(
        &damaged(&edit("\"format_version\": 1", "\"format_version\": 9")),
        "format_version is 9",
    );
    assert_refused(
        &damaged(&edit("\"text_logits\"", "\"other_logits\"")),
        "must have one output text_logits",
    );
    assert_refused(
        &damaged(&edit("\"int32\"", "\"int64\"")),
        "the manifest's sizes make it int32",
    );
    assert_refused(
        &damaged(&edit(
            "\"samples_per_frame\": 2048",
            "\"samples_per_frame\": 0",
        )),
        "codec.samples_per_frame is 0",
    );
    assert_refused(
        &damaged(&edit(
            "\"level_strides\": [\n   4",
            "\"level_strides\": [\n   0",
        )),
        "level_strides",
    );
    let garbage = damaged(&|folder| {
        let path = folder.join("decoder.onnx");
        let n = fs::metadata(&path).expect("a file").len() as usize;
        fs::write(path, vec![7u8; n]).expect("written");
    });
    assert_refused(&garbage, "is no graph");
    let tokenizer = damaged(&|folder| {
        let path = folder.join("tokenizer.json");
        let n = fs::metadata(&path).expect("a file").len() as usize;
        fs::write(path, vec![b' '; n]).expect("written");
    });
    assert_refused(&tokenizer, "tokenizer");
}
