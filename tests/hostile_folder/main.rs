//! Model folders made to do harm, and unlucky ones: each is refused in a sentence, or runs.
//!
//! The mutations are drawn from a fixed seed; what is broken by one is broken on every machine.

#[path = "../common/mod.rs"]
mod common;
mod files;
#[cfg(unix)]
mod links;
mod manifests;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use common::*;
use mini_omni::model::check_tokenizer;
use mini_omni::{Manifest, Omni, Options, Provider, Question, Runtime, Task};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde_json::{Value, json};

/// Mutated manifests that are read alone, and those that are read with a folder and opened.
const READ: usize = 4000;
const OPENED: usize = 150;
/// No folder may take longer, on a busy machine with other tests beside it.
const PATIENCE: Duration = Duration::from_secs(20);
/// Bytes by which nothing here makes the process grow.
const GROWTH: u64 = 400 << 20;

fn tiny(profile: &str) -> PathBuf {
    root().join("tests/fixtures/tiny").join(profile)
}

fn manifest_of(folder: &Path) -> Value {
    let text = fs::read_to_string(folder.join("manifest.json")).expect("a manifest");
    serde_json::from_str(&text).expect("JSON")
}

/// A copy of a model with its manifest changed.
fn changed(change: impl FnOnce(&mut Value)) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    copy_model(&model(), folder.path());
    let mut manifest = manifest_of(folder.path());
    change(&mut manifest);
    fs::write(folder.path().join("manifest.json"), manifest.to_string()).expect("written");
    folder
}

/// Writes a file of the model and says so in its manifest.
fn replace(folder: &Path, name: &str, bytes: &[u8]) {
    fs::write(folder.join(name), bytes).expect("written");
    let mut manifest = manifest_of(folder);
    for file in manifest["files"].as_array_mut().expect("files") {
        if file["name"] == name {
            file["bytes"] = json!(bytes.len());
        }
    }
    fs::write(folder.join("manifest.json"), manifest.to_string()).expect("written");
}

fn ask(folder: &Path) -> std::process::Output {
    let options = ["--task", "t1t2", "--max-steps", "3"];
    let mut args = vec!["ask", text(folder), "--text", "hi aaaaaaaaaaaaaaaaaaaa"];
    args.extend(options);
    mini_omni(&args)
}

/// Bytes that this process held at most, where the system says so.
fn peak_memory() -> Option<u64> {
    let status = fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib << 10)
}

/// Opens the model and asks it in writing and by sound.
fn answer(folder: &Path, runtime: &Runtime) -> mini_omni::Result<()> {
    let mut omni = Omni::load(folder, runtime)?;
    let rate = omni.manifest().mel.sample_rate;
    let sound = mini_omni::Pcm::new(vec![0.1; rate as usize / 4], rate)?;
    for (question, task) in [
        (Question::Text("hi".into()), Task::T1A2),
        (Question::Audio(sound), Task::A1A2),
    ] {
        let mut options = Options::for_task(task);
        options.max_steps = Some(10);
        omni.run(&question, &options)?;
    }
    Ok(())
}

/// One line, and at most a hint from the command line behind it.
fn assert_is_sentence(said: &str) {
    let said = said.split("\nhint: ").next().unwrap_or_default();
    let line = said.len() < 1500 && !said.contains(['\n', '\u{1b}', '\0']);
    assert!(line && said.contains(' '), "{said:?}");
}

fn assert_grown_little(before: Option<u64>) {
    if let (Some(before), Some(after)) = (before, peak_memory()) {
        assert!(
            after - before < GROWTH,
            "grew by {} MiB",
            (after - before) >> 20
        );
    }
}
