//! Every back end of the kernels says the same: the bundled model's ids and sound, to the bit.

mod common;

use common::*;
use mini_omni::{
    Kernels, Noise, Omni, Options, Pcm, Provider, Question, Runtime, Task, Trace, audio,
};

/// Written questions; the model never read some of them.
const WRITTEN: [&str; 10] = [
    "What is the capital of France?",
    "What is your name?",
    "How many legs does a spider have?",
    "What is two plus three?",
    "What is the opposite of hot?",
    "Which day comes after Monday?",
    "Set a timer for five minutes.",
    "Turn on the lights in the kitchen.",
    "Which is larger, seven or nine?",
    "How are you today?",
];
/// Steps of an answer: most are shorter. The reference is slow.
const STEPS: usize = 60;

/// Twelve questions, two of them spoken.
fn questions() -> Vec<(Question, Task)> {
    let spoken = |pcm: Pcm| (Question::Audio(pcm), Task::A1A2_BATCH);
    let whole = audio::read(&bundled_question()).expect("a question");
    // A part of it, so that clips of two lengths are heard.
    let mut all = vec![spoken(whole.clone().first(1.1)), spoken(whole)];
    all.extend(WRITTEN.map(|text| (Question::Text(text.into()), Task::T1A2)));
    all
}

/// What the model answers with these kernels.
fn answers(kernels: Kernels) -> Vec<(Trace, Vec<f32>)> {
    let runtime = Runtime::load(Provider::Cpu, 2).expect("ONNX Runtime");
    let runtime = runtime
        .with_kernels(kernels)
        .expect("kernels that are here");
    assert_eq!(runtime.kernels(), kernels);
    let mut omni = Omni::load(&bundled(), &runtime).expect("the bundled model");
    let one = |(question, task): (Question, Task)| {
        let mut options = Options::for_task(task);
        options.max_steps = Some(STEPS);
        options.noise = Noise::Seeded(0);
        omni.run(&question, &options).expect("an answer")
    };
    questions().into_iter().map(one).collect()
}

#[test]
fn ids_and_sound_are_the_same_by_all_kernels() {
    let here = Kernels::ALL.into_iter().filter(|kernels| kernels.is_here());
    let ours: Vec<_> = here
        .filter(|&kernels| kernels != Kernels::OnnxRuntime)
        .collect();
    println!("kernels of this processor: {ours:?}");
    let expected = answers(Kernels::Plain);
    assert!(
        expected
            .iter()
            .any(|(trace, _)| trace.text == "The capital of France is Paris.")
    );
    for kernels in ours
        .into_iter()
        .filter(|&kernels| kernels != Kernels::Plain)
    {
        for (found, expected) in answers(kernels).iter().zip(&expected) {
            let question = &expected.0.text;
            assert_eq!(found.0.tokens, expected.0.tokens, "{kernels:?}: {question}");
            assert!(
                found.1 == expected.1,
                "{kernels:?}: the sound of {question} differs"
            );
        }
    }
}

#[test]
fn kernels_that_the_processor_lacks_are_an_error() {
    let missing = Kernels::ALL.into_iter().find(|kernels| !kernels.is_here());
    let missing = missing.expect("no processor has the instructions of both x86-64 and arm64");
    let model = bundled();
    let asked = [
        "ask",
        text(&model),
        "--text",
        "hi",
        "--kernels",
        missing.name(),
    ];
    let output = command(&asked).output().expect("the binary runs");
    assert_refused(
        &output,
        &format!(
            "lacks instructions of the {} kernels; here are",
            missing.name()
        ),
    );
}
