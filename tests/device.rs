//! What crosses between the host and a device's memory, counted with host memory that is treated as a
//! device's: no test has a GPU.

mod common;

use common::*;
use mini_omni::measure::{self, Crossed};
use mini_omni::{
    Noise, Omni, Options, Provider, Question, Runtime, SamplingConfig, Source, Task, Trace, audio,
};

const ID: usize = size_of::<i64>();
const FLOAT: usize = size_of::<f32>();

fn runtime() -> Runtime {
    Runtime::load(Provider::Cpu, 1).expect("ONNX Runtime; `make onnxruntime` gets it")
}

fn question(task: Task) -> Question {
    match task.source() {
        Source::Text => Question::Text("What is your name?".into()),
        Source::Audio => Question::Audio(audio::read(&common::question()).expect("a question")),
    }
}

fn options(task: Task, steps: usize, temperature: f32) -> Options {
    let mut options = Options::for_task(task);
    options.max_steps = Some(steps);
    options.noise = Noise::Zero;
    options.sampling = SamplingConfig {
        temperature,
        ..SamplingConfig::greedy()
    };
    // The text never ends, so that every step has both heads.
    measure::forced(&options, usize::MAX)
}

/// An answer, and what crossed for it.
fn answer(task: Task, steps: usize, temperature: f32) -> (Trace, Vec<f32>, Crossed) {
    let runtime = measure::apart(&runtime());
    let mut omni = Omni::load(&model(), &runtime).expect("a model");
    let before = measure::crossed(&runtime);
    let said = omni.run(&question(task), &options(task, steps, temperature));
    let (trace, sound) = said.expect("an answer");
    let after = measure::crossed(&runtime);
    let crossed = Crossed {
        written: after.written - before.written,
        ..after
    };
    (trace, sound, crossed)
}

#[test]
fn between_steps_the_host_reads_ids_and_sound_alone() {
    for task in Task::ALL {
        let (trace, sound, crossed) = answer(task, 20, 0.0);
        let ids = if task.speaks() { 8 } else { 1 };
        assert_eq!(
            trace.tokens.last().map(Vec::len),
            Some(20),
            "{}",
            trace.task
        );
        assert_eq!(crossed.ids, 20 * ids * ID, "{}", trace.task);
        assert_eq!((crossed.logits, crossed.features), (0, 0), "{}", trace.task);
        // The codec's delay is cut off on the host.
        assert!(crossed.sound >= FLOAT * sound.len(), "{}", trace.task);
        assert_eq!(crossed.sound > 0, task.speaks(), "{}", trace.task);
    }
}

#[test]
fn where_ids_are_drawn_the_logits_of_each_step_cross() {
    let (_, _, crossed) = answer(Task::A1A2_BATCH, 20, 0.9);
    let omni = Omni::load(&model(), &runtime()).expect("a model");
    let ids = &omni.manifest().ids;
    let logits = ids.text_vocab_size + ids.audio_streams * ids.audio_vocab_size;
    assert_eq!(crossed.logits, 20 * logits * FLOAT);
    assert_eq!((crossed.ids, crossed.features), (0, 0));
}

#[test]
fn a_step_writes_ids_and_lengths() {
    let task = Task::T1T2;
    let written = |steps| answer(task, steps, 0.0).2.written;
    let a_step = (written(30) - written(20)) as f64 / 10.0;
    // 8 ids and a length. What the heads may choose among crosses once.
    assert_eq!(a_step, (8 * ID + size_of::<i32>()) as f64);
}

#[test]
fn the_host_reads_nothing_of_its_own_memory() {
    let runtime = runtime();
    let mut omni = Omni::load(&model(), &runtime).expect("a model");
    let task = Task::A1A2_BATCH;
    let said = omni.run(&question(task), &options(task, 10, 0.0));
    said.expect("an answer");
    let nothing = Crossed {
        ids: 0,
        logits: 0,
        features: 0,
        sound: 0,
        written: 0,
    };
    assert_eq!(measure::crossed(&runtime), nothing);
}

#[test]
fn an_answer_is_the_same_wherever_the_memory_is() {
    for task in Task::ALL {
        for temperature in [0.0, 0.9] {
            let mut omni = Omni::load(&model(), &runtime()).expect("a model");
            let here = omni.run(&question(task), &options(task, 40, temperature));
            let (trace, sound) = here.expect("an answer");
            let (there, heard, _) = answer(task, 40, temperature);
            assert_eq!(trace.tokens, there.tokens, "{}", trace.task);
            assert_eq!(sound, heard, "{}", trace.task);
        }
    }
}
