//! The committed tiny model, in both profiles, against what two implementations in torch say for its
//! checkpoint: the original's own code (`tests/fixtures/original/make.py`), and an independent one
//! (`export/tests/make_fixtures.py`).

mod common;

use std::fs;
use std::path::PathBuf;

use common::root;
use mini_omni::{Noise, Omni, Options, Provider, Question, Runtime, Source, Task, audio, measure};
use serde::Deserialize;

/// Ids are compared up to the first step at which two logits were this close.
const SMALLEST_MARGIN: f64 = 1e-4;

#[derive(Deserialize)]
struct Case {
    task: String,
    input: String,
    max_steps: usize,
    tokens: Vec<Vec<i64>>,
    /// The original does not tell.
    ended: Option<String>,
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

/// Who said what is expected: a folder of fixtures.
const ORIGINAL: &str = "original";
const INDEPENDENT: &str = "tiny";

fn cases(of: &str) -> Vec<Case> {
    let path = root().join("tests/fixtures").join(of);
    let json = fs::read(path.join("expected.json")).expect("expectations");
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

fn ids_are_those_of(reference: &str, profile: &str, runtime: &Runtime) {
    let mut omni = Omni::load(&fixture(profile), runtime).expect("a model");
    for case in cases(reference) {
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
        let name = format!("{reference}, {profile}: {} {:?}", case.task, case.input);
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
            if let Some(ended) = &case.ended {
                assert_eq!(trace.ended.name(), ended, "{name}");
            }
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
fn every_task_says_what_the_original_says() {
    for profile in ["fused", "portable"] {
        ids_are_those_of(ORIGINAL, profile, &runtime());
    }
}

#[test]
fn the_originals_choices_are_clear_nearly_everywhere() {
    let margins = cases(ORIGINAL).into_iter().flat_map(|case| case.margins);
    let steps: Vec<bool> = margins
        .map(|gaps| gaps.iter().all(|&gap| gap > SMALLEST_MARGIN))
        .collect();
    let clear = steps.iter().filter(|clear| **clear).count();
    assert!(
        clear * 100 >= steps.len() * 99,
        "{clear} of {} steps",
        steps.len()
    );
}

#[test]
fn every_task_says_what_the_reference_says_fused() {
    ids_are_those_of(INDEPENDENT, "fused", &runtime());
}

#[test]
fn every_task_says_what_the_reference_says_portable() {
    ids_are_those_of(INDEPENDENT, "portable", &runtime());
}

#[test]
fn every_task_says_the_same_where_the_host_does_not_see_the_memory() {
    let apart = measure::apart(&runtime());
    for profile in ["fused", "portable"] {
        ids_are_those_of(INDEPENDENT, profile, &apart);
    }
}
