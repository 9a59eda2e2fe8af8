//! The committed tiny model against what an independent torch implementation says
//! (`export/tests/make_fixtures.py` made the expectations), in both profiles.

mod common;

use std::fs;
use std::path::PathBuf;

use common::root;
use mini_omni::{Noise, Omni, Options, Provider, Question, Runtime, Source, Task, audio};
use serde::Deserialize;

/// Ids are compared up to the first step at which two logits were this close.
const SMALLEST_MARGIN: f64 = 1e-4;

#[derive(Deserialize)]
struct Case {
    task: String,
    input: String,
    max_steps: usize,
    tokens: Vec<Vec<i64>>,
    ended: String,
    prompt_length: usize,
    /// The gap between the best and the second logit, by step and stream.
    margins: Vec<Vec<f64>>,
}

fn fixture(name: &str) -> PathBuf {
    root().join("tests/fixtures/tiny").join(name)
}

fn runtime() -> Runtime {
    Runtime::load(Provider::Cpu, 1).expect("ONNX Runtime; `make onnxruntime` gets it")
}

fn cases() -> Vec<Case> {
    let json = fs::read(fixture("expected.json")).expect("expectations");
    serde_json::from_slice(&json).expect("cases")
}

fn question(case: &Case, task: Task) -> Question {
    match task.source() {
        Source::Audio => {
            let wav = root().join("tests/fixtures/audio").join(&case.input);
            Question::Audio(audio::read(&wav).expect("a question"))
        }
        Source::Text => Question::Text(case.input.clone()),
    }
}

fn ids_are_the_references(profile: &str) {
    let mut omni = Omni::load(&fixture(profile), &runtime()).expect("a model");
    for case in cases() {
        let task = Task::by_name(&case.task).expect("a task");
        let mut options = Options::for_task(task);
        options.max_steps = Some(case.max_steps);
        options.noise = Noise::Zero;
        let (trace, pcm) = omni
            .run(&question(&case, task), &options)
            .expect("an answer");
        let sure = case
            .margins
            .iter()
            .take_while(|gaps| gaps.iter().all(|&gap| gap > SMALLEST_MARGIN))
            .count();
        let name = format!("{profile} {} {:?}", case.task, case.input);
        assert_eq!(trace.prompt_length, case.prompt_length, "{name}");
        for (stream, (found, expected)) in trace.tokens.iter().zip(&case.tokens).enumerate() {
            let n = sure.min(expected.len());
            assert_eq!(
                found[..n.min(found.len())],
                expected[..n],
                "{name}, stream {stream}"
            );
        }
        if sure >= case.margins.len() {
            assert_eq!(trace.tokens, case.tokens, "{name}");
            assert_eq!(trace.ended.name(), case.ended, "{name}");
        }
        assert_eq!(trace.pcm_samples, pcm.len());
        assert_eq!(
            pcm.len(),
            trace.frames * 2048,
            "{name}: no sample of the answer is lost"
        );
    }
}

#[test]
fn every_task_says_what_the_reference_says_fused() {
    ids_are_the_references("fused");
}

#[test]
fn every_task_says_what_the_reference_says_portable() {
    ids_are_the_references("portable");
}
