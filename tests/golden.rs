//! The committed tiny model against what an independent torch implementation says
//! (`export/tests/make_fixtures.py` made the expectations), in both profiles.

mod common;

use std::fs;
use std::path::PathBuf;
use std::sync::OnceLock;

use common::root;
use mini_omni::delay::Frame;
use mini_omni::graph::CodecDecoder;
use mini_omni::task::{Source, Task};
use mini_omni::{Manifest, Noise, Omni, Options, Provider, Question, Runtime, audio};
use ndarray::Array1;
use serde::Deserialize;

/// Ids are compared up to the first step at which two logits were this close.
const SMALLEST_MARGIN: f64 = 1e-4;
/// PCM against torch, and streamed against whole.
const PCM_TOLERANCE: f32 = 1e-4;
const STREAM_TOLERANCE: f32 = 1e-6;

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

/// ONNX Runtime allows one environment a process; the tests of this file share it.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Runtime::load(Provider::Cpu, 1).expect("ONNX Runtime; `make onnxruntime` gets it")
    })
}

fn cases() -> Vec<Case> {
    let json = fs::read(fixture("expected.json")).expect("expectations");
    serde_json::from_slice(&json).expect("cases")
}

fn question(case: &Case, task: &Task) -> Question {
    match task.source {
        Source::Audio => {
            let wav = root().join("tests/fixtures/audio").join(&case.input);
            Question::Audio(audio::read(&wav).expect("a question"))
        }
        Source::Text => Question::Text(case.input.clone()),
    }
}

fn ids_are_the_references(profile: &str) {
    let mut omni = Omni::load(&fixture(profile), runtime()).expect("a model");
    for case in cases() {
        let task = Task::by_name(&case.task).expect("a task");
        let options = Options {
            max_steps: Some(case.max_steps),
            noise: Noise::Zero,
            ..Options::for_task(task)
        };
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

/// Decodes `frames` in chunks of `stride`.
fn decode(codec: &mut CodecDecoder, frames: &[Frame], stride: usize, noise: Noise) -> Vec<f32> {
    let mut state = codec.start(noise).expect("a clip");
    let mut pcm = Vec::new();
    for chunk in frames.chunks(stride) {
        pcm.extend(codec.decode(&mut state, chunk).expect("samples"));
    }
    pcm.extend(codec.finish(&mut state).expect("the last samples"));
    pcm
}

fn largest_difference(a: &[f32], b: &[f32]) -> f32 {
    assert_eq!(a.len(), b.len());
    a.iter()
        .zip(b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, f32::max)
}

#[test]
fn streamed_sound_is_the_whole_sound() {
    let folder = fixture("fused");
    let manifest = Manifest::load(&folder).expect("a manifest");
    let mut codec = CodecDecoder::open(runtime(), &folder, &manifest, 1).expect("a codec");
    let frames: Vec<Frame> = (0..23)
        .map(|m| Frame::from((0..7).map(|j| (m * 37 + j * 11) % 128).collect::<Vec<_>>()))
        .collect();
    for noise in [Noise::Zero, Noise::Seeded(5)] {
        for n in [1, 2, 3, 23] {
            let whole = decode(&mut codec, &frames[..n], n, noise);
            assert_eq!(whole.len(), n * 2048);
            for stride in [1, 2, 4, 7] {
                let streamed = decode(&mut codec, &frames[..n], stride, noise);
                let error = largest_difference(&streamed, &whole);
                assert!(error <= STREAM_TOLERANCE, "{n} frames by {stride}: {error}");
            }
        }
    }
    let seeds = [1, 2].map(|seed| decode(&mut codec, &frames, 23, Noise::Seeded(seed)));
    assert!(
        largest_difference(&seeds[0], &seeds[1]) > 0.0,
        "the noise is heard"
    );
}

#[test]
fn the_sound_is_the_references() {
    let expected: Array1<f32> =
        ndarray_npy::read_npy(fixture("expected/pcm.npy")).expect("fixture");
    let frames: ndarray::Array2<i64> =
        ndarray_npy::read_npy(fixture("expected/frames.npy")).expect("fixture");
    let folder = fixture("fused");
    let manifest = Manifest::load(&folder).expect("a manifest");
    let mut codec = CodecDecoder::open(runtime(), &folder, &manifest, 1).expect("a codec");
    let frames: Vec<Frame> = frames
        .rows()
        .into_iter()
        .map(|row| Frame::from(row.to_vec()))
        .collect();
    let pcm = decode(&mut codec, &frames, frames.len(), Noise::Zero);
    assert!(largest_difference(&pcm, expected.as_slice().expect("flat")) < PCM_TOLERANCE);
}
