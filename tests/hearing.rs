//! What is no speech gets no answer; what is speech is heard to the last sample.

mod common;

use std::f32::consts::TAU;
use std::ops::ControlFlow;

use common::*;
use mini_omni::{
    Ended, Event, Limits, Omni, Options, Pcm, Provider, Question, Request, Runtime, Scheduler,
    Task, Trace, audio,
};

const RATE: u32 = 16_000;

fn open(folder: &std::path::Path) -> Omni {
    let runtime =
        Runtime::load(Provider::Cpu, 1).expect("ONNX Runtime; `make onnxruntime` gets it");
    Omni::load(folder, &runtime).expect("a model")
}

fn pcm(samples: Vec<f32>) -> Pcm {
    Pcm::new(samples, RATE).expect("sound")
}

fn recorded(path: &std::path::Path) -> Vec<f32> {
    let pcm = audio::read(path).expect("a question");
    audio::resample(&pcm, RATE)
        .expect("16 kHz")
        .samples()
        .to_vec()
}

fn options() -> Options {
    let mut options = Options::for_task(Task::A1T2);
    options.max_steps = Some(4);
    options
}

/// White noise of this RMS, the same on every machine.
fn noise(level: f32, n: usize) -> Vec<f32> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next() * level * 3f32.sqrt()).collect()
}

fn hum(hz: f32, level: f32, n: usize) -> Vec<f32> {
    let sample = |i: usize| level * (TAU * hz * i as f32 / RATE as f32).sin();
    (0..n).map(sample).collect()
}

fn click(at: usize, n: usize) -> Vec<f32> {
    let mut samples = vec![0.0; n];
    samples[at] = 1.0;
    samples
}

/// Sounds without a word, with their names.
fn not_speech() -> Vec<(String, Vec<f32>)> {
    let mut sounds = vec![
        ("silence".to_string(), vec![0.0; 48_000]),
        ("one sample".to_string(), vec![0.5]),
        ("an offset".to_string(), vec![0.3; 32_000]),
        ("a click".to_string(), click(16_000, 32_000)),
    ];
    for hz in [50.0, 100.0, 440.0] {
        for level in [0.01, 0.1, 0.5] {
            sounds.push((format!("{hz} Hz at {level}"), hum(hz, level, 48_000)));
        }
    }
    for level in [2e-5, 1e-3, 0.01, 0.1, 0.3] {
        sounds.push((format!("noise at {level}"), noise(level, 64_000)));
    }
    sounds
}

fn events(omni: &mut Omni, samples: Vec<f32>, options: &Options) -> (Trace, Vec<Event>) {
    let mut events = Vec::new();
    let trace = omni.stream(&Question::Audio(pcm(samples)), options, |event| {
        events.push(event);
        ControlFlow::Continue(())
    });
    (trace.expect("a record"), events)
}

#[test]
fn what_is_no_speech_gets_no_answer() {
    let mut omni = open(&model());
    for (name, samples) in not_speech() {
        let (trace, events) = events(&mut omni, samples, &options());
        assert_eq!(trace.ended, Ended::NoSpeech, "{name}");
        assert_eq!(events, [Event::NoSpeech], "{name}");
        assert_eq!(trace.timings_ms.encoder, 0.0, "{name}: nothing was encoded");
        assert!(trace.tokens.iter().all(Vec::is_empty), "{name}");
    }
}

#[test]
fn anything_is_answered_if_one_insists() {
    let mut omni = open(&model());
    let mut options = options();
    options.answer_anything = true;
    for trim in [false, true] {
        options.trim = Some(trim);
        let (trace, events) = events(&mut omni, vec![0.0; 16_000], &options);
        assert_ne!(trace.ended, Ended::NoSpeech);
        assert!(!events.contains(&Event::NoSpeech));
    }
}

#[test]
fn speech_is_answered_however_loud_and_with_the_same_ids() {
    let mut omni = open(&model());
    let mut anything = options();
    anything.answer_anything = true;
    for path in [question(), bundled_question()] {
        let recorded = recorded(&path);
        for level in [1.0, 0.03, 0.005, 20.0] {
            let samples: Vec<f32> = recorded
                .iter()
                .map(|x| (level * x).clamp(-1.0, 1.0))
                .collect();
            let (heard, _) = events(&mut omni, samples.clone(), &options());
            let (insisted, _) = events(&mut omni, samples, &anything);
            assert_ne!(
                heard.ended,
                Ended::NoSpeech,
                "{} at {level}",
                path.display()
            );
            assert_eq!(heard.tokens, insisted.tokens, "nothing was cut");
            assert_eq!(heard.prompt_length, insisted.prompt_length);
        }
    }
}

#[test]
fn speech_is_heard_in_noise_and_wherever_it_is() {
    let mut omni = open(&model());
    let speech = recorded(&bundled_question());
    let loudness = (speech.iter().map(|x| x * x).sum::<f32>() / speech.len() as f32).sqrt();
    let noisy = noise(loudness * 0.56, speech.len());
    let noisy = speech.iter().zip(&noisy).map(|(a, b)| a + b).collect();
    let offset = speech.iter().map(|x| 0.1 * x + 0.2).collect();
    let alone = speech
        .iter()
        .copied()
        .skip_while(|x| x.abs() < 0.02)
        .collect();
    let late = [vec![0.0; 160_000], speech.clone()].concat();
    for (name, samples) in [
        ("5 dB", noisy),
        ("offset", offset),
        ("alone", alone),
        ("late", late),
    ] {
        let (trace, _) = events(&mut omni, samples, &options());
        assert_ne!(trace.ended, Ended::NoSpeech, "{name}");
    }
}

#[test]
fn silence_at_both_ends_is_cut_where_the_model_wants_it() {
    let mut omni = open(&bundled());
    let silence = vec![0.0; 160_000];
    let late = [recorded(&bundled_question()), silence.clone()].concat();
    let around = [silence, late.clone()].concat();
    let mut options = Options::for_task(Task::A1T2);
    for samples in [late, around] {
        options.trim = None;
        let (trimmed, _) = events(&mut omni, samples.clone(), &options);
        assert_eq!(trimmed.text, "The capital of France is Paris.");
        options.trim = Some(false);
        let (whole, _) = events(&mut omni, samples, &options);
        assert!(whole.prompt_length > trimmed.prompt_length + 400);
    }
}

#[test]
fn trimming_leaves_a_clip_of_speech_alone() {
    let mut omni = open(&bundled());
    let asked = recorded(&bundled_question());
    let mut options = Options::for_task(Task::A1T2);
    let mut length = |trim| {
        options.trim = Some(trim);
        events(&mut omni, asked.clone(), &options).0.prompt_length
    };
    // 20 ms a feature; the padding is 300 ms.
    assert!(length(false) - length(true) < 25);
}

#[test]
fn any_sample_rate_is_listened_to() {
    let mut omni = open(&model());
    for rate in [8_000, 44_100, 48_000] {
        let speech = audio::resample(&pcm(recorded(&question())), rate).expect("a rate");
        let silence = Pcm::new(vec![0.0; rate as usize], rate).expect("sound");
        let mut ended = |pcm| {
            omni.run(&Question::Audio(pcm), &options())
                .expect("a record")
                .0
                .ended
        };
        assert_ne!(ended(speech), Ended::NoSpeech, "{rate} Hz");
        assert_eq!(ended(silence), Ended::NoSpeech, "{rate} Hz");
    }
}

#[test]
fn a_scheduler_tells_no_speech_and_keeps_the_conversation() {
    let scheduler = Scheduler::new(open(&model()), Limits::default()).expect("threads");
    let ask = |question, task, memory| {
        let mut options = Options::for_task(task);
        options.max_steps = Some(4);
        let mut request = Request::new(question, options);
        request.memory = memory;
        request.keep_memory = true;
        let mut answer = scheduler.submit(request).expect("room");
        let events: Vec<Event> = answer.by_ref().collect();
        let (trace, memory) = answer.finish_with_memory().expect("a record");
        (trace, memory, events)
    };
    let hello = || Question::Text("Hello".into());
    let silence = || Question::Audio(pcm(vec![0.0; 16_000]));
    let (_, memory, _) = ask(hello(), Task::T1T2, None);
    let (trace, memory, events) = ask(silence(), Task::A1T2, memory);
    assert_eq!(
        (trace.ended, &events[..]),
        (Ended::NoSpeech, &[Event::NoSpeech][..])
    );
    assert!(memory.is_some(), "the conversation goes on");
    let (trace, memory, _) = ask(silence(), Task::A1T2, None);
    assert_eq!(trace.ended, Ended::NoSpeech);
    assert!(memory.is_none(), "there was none");
    assert_eq!(scheduler.answers(), 0);
}
