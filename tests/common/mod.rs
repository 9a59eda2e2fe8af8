//! What the whole-binary tests share: the binary, the committed models and sounds.

#![allow(dead_code)] // each test file uses its part

pub mod eval;
pub mod onnx;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use serde::de::DeserializeOwned;

pub fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

/// The committed random model.
pub fn model() -> PathBuf {
    root().join("onnx/tiny-random")
}

/// The committed model that was trained.
pub fn bundled() -> PathBuf {
    root().join("onnx/mini-omni-small")
}

/// A question of the bundled model's domain, in a voice it was never trained on.
pub fn bundled_question() -> PathBuf {
    root().join("tests/fixtures/audio/capital.wav")
}

/// Rows of a list of the bundled model's questions.
pub fn rows<T: DeserializeOwned>(name: &str) -> Vec<T> {
    let path = root().join("tests/fixtures/bundled").join(name);
    let lines = fs::read_to_string(path).expect("questions beside the tests");
    let rows = lines.lines().map(serde_json::from_str);
    rows.collect::<Result<_, _>>()
        .expect("questions and their answers")
}

/// A real spoken question.
pub fn question() -> PathBuf {
    root().join("tests/fixtures/audio/output1.wav")
}

pub fn mini_omni(args: &[&str]) -> Output {
    command(args).output().expect("the binary runs")
}

pub fn command(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_mini-omni"));
    command.args(args).stdin(Stdio::null());
    command
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("a path in UTF-8")
}

pub fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// The command must have been refused: exit code 2, one sentence that says `what`, no panic.
pub fn assert_refused(output: &Output, what: &str) {
    let said = stderr(output);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(what), "{said:?} does not say {what:?}");
    assert!(!said.contains("panicked"), "{said}");
}

/// A wav of mono float samples.
pub fn write_wav(path: &Path, sample_rate: u32, samples: &[f32]) {
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate,
        bits_per_sample: 32,
        sample_format: hound::SampleFormat::Float,
    };
    let mut writer = hound::WavWriter::create(path, spec).expect("a wav");
    samples
        .iter()
        .for_each(|&s| writer.write_sample(s).expect("a sample"));
    writer.finalize().expect("a whole wav");
}

/// A copy of a model folder that a test may damage.
pub fn copy_model(from: &Path, to: &Path) {
    fs::create_dir_all(to).expect("a folder");
    for entry in fs::read_dir(from).expect("a model") {
        let entry = entry.expect("an entry");
        fs::copy(entry.path(), to.join(entry.file_name())).expect("a copy");
    }
}
