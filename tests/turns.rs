//! Recorded speech to turns: found, whole, and told apart from an answer's own sound.

mod common;

use std::f32::consts::TAU;
use std::path::{Path, PathBuf};

use common::*;
use mini_omni::hearing::{Heard, Listener, ListenerRules};
use mini_omni::{Provider, Runtime, audio};

const RATE: usize = 16_000;
/// A sound card's piece: 20 ms.
const PIECE: usize = 320;

fn listener(rules: ListenerRules) -> Listener {
    let runtime =
        Runtime::load(Provider::Cpu, 1).expect("ONNX Runtime; `make onnxruntime` gets it");
    Listener::new(&runtime, rules).expect("the built-in graphs")
}

fn recorded(path: &Path) -> Vec<f32> {
    let pcm = audio::read(path).expect("a recording");
    audio::resample(&pcm, RATE as u32)
        .expect("16 kHz")
        .samples()
        .to_vec()
}

/// The recorded question from its first voice on: a breath comes before.
fn asked() -> Vec<f32> {
    recorded(&question())[12_500..].to_vec()
}

/// White noise of this level, the same on every machine.
fn noise(level: f32, n: usize) -> Vec<f32> {
    let mut state = 1u32;
    let mut next = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    (0..n).map(|_| next() * level).collect()
}

fn room(n: usize) -> Vec<f32> {
    noise(1e-3, n)
}

/// All that is told of a sound in pieces of a size while nothing is played.
fn told(rules: ListenerRules, sound: &[f32], size: usize) -> Vec<Heard> {
    let mut listener = listener(rules);
    let pieces = sound.chunks(size);
    pieces
        .flat_map(|piece| listener.hear(piece, None).expect("heard"))
        .collect()
}

fn turns(heard: &[Heard]) -> Vec<std::ops::Range<u64>> {
    let turn = |heard: &Heard| match heard {
        Heard::End { speech, .. } => Some(speech.clone()),
        _ => None,
    };
    heard.iter().filter_map(turn).collect()
}

#[test]
fn speech_that_begins_at_the_first_sample_loses_nothing() {
    let sound = [asked(), room(2 * RATE)].concat();
    let whole = told(ListenerRules::default(), &sound, sound.len());
    let [turn] = &turns(&whole)[..] else {
        panic!("{whole:?}")
    };
    assert_eq!(turn.start, 0);
    assert!(turn.end > asked().len() as u64 - 3200, "{turn:?}");
    for size in [160, 333, 512] {
        assert_eq!(
            told(ListenerRules::default(), &sound, size),
            whole,
            "{size}"
        );
    }
}

#[test]
fn a_turn_keeps_its_sound_and_the_next_has_its_own() {
    let mut listener = listener(ListenerRules::default());
    let sound = [room(RATE), asked(), room(RATE), asked(), room(RATE)].concat();
    let mut heard = Vec::new();
    for piece in sound.chunks(PIECE) {
        heard.extend(listener.hear(piece, None).expect("heard"));
    }
    let [first, second] = &turns(&heard)[..] else {
        panic!("{heard:?}")
    };
    assert!(first.end <= second.start);
    for turn in [first, second] {
        let expected = &sound[turn.start as usize..turn.end as usize];
        assert!(
            listener.sound(turn.clone()) == expected,
            "the sound of {turn:?}"
        );
    }
    assert_eq!(
        listener.position(),
        (sound.len() / PIECE * PIECE + sound.len() % PIECE) as u64
    );
}

#[test]
fn what_is_no_speech_is_no_turn() {
    let sine = |hz: f32, level: f32| -> Vec<f32> {
        (0..2 * RATE)
            .map(|i| level * (TAU * hz * i as f32 / RATE as f32).sin())
            .collect()
    };
    let mut click = vec![0.0; RATE];
    click[100..140].fill(0.9);
    for (name, sound) in [
        ("silence", vec![0.0; 3 * RATE]),
        ("a room", room(3 * RATE)),
        ("noise", noise(0.1, 3 * RATE)),
        ("a hum of 50 Hz", sine(50.0, 0.1)),
        ("a hum of 100 Hz", sine(100.0, 0.1)),
        ("a tone", sine(440.0, 0.1)),
        ("a click", click),
        ("no numbers", vec![f32::NAN; RATE]),
    ] {
        let sound = [room(RATE), sound, room(RATE)].concat();
        let heard = told(ListenerRules::default(), &sound, PIECE);
        assert!(heard.is_empty(), "{name}: {heard:?}");
    }
}

/// Noise shaped like a cough without a voice, made here: a burst of 50 ms, and the breath behind it.
fn cough(level: f32) -> Vec<f32> {
    let n = RATE / 6;
    let breath = noise(level * 0.4, n).into_iter().enumerate();
    let breath = breath.map(|(i, x)| x * (1.0 - i as f32 / n as f32));
    noise(level, RATE / 20).into_iter().chain(breath).collect()
}

#[test]
fn noise_shaped_like_a_cough_is_no_turn_and_interrupts_nobody() {
    for level in [0.1, 0.3, 0.9] {
        let sound = [room(RATE), cough(level), room(RATE)].concat();
        let heard = told(ListenerRules::default(), &sound, PIECE);
        assert!(heard.is_empty(), "{level}: {heard:?}");
        let talk = converse(&answer(), &at_four_seconds(&cough(level)));
        let stopped = |heard: &Heard| matches!(heard, Heard::Interruption { .. });
        assert!(!talk.iter().any(|(_, heard)| stopped(heard)), "{talk:?}");
    }
}

#[test]
fn a_sound_that_is_no_number_does_not_deafen() {
    let bad = [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX].repeat(800);
    let sound = [bad, room(3 * RATE), asked(), room(RATE)].concat();
    let heard = told(ListenerRules::default(), &sound, PIECE);
    assert!(!turns(&heard).is_empty(), "{heard:?}");
}

#[test]
fn a_complete_question_ends_sooner_by_meaning() {
    let sound = [room(RATE), asked(), room(3 * RATE)].concat();
    let end = |meaning| {
        let rules = ListenerRules {
            meaning,
            ..ListenerRules::default()
        };
        let mut listener = listener(rules);
        let ends = sound.chunks(PIECE).position(|piece| {
            let mut heard = listener.hear(piece, None).expect("heard");
            heard.extend(listener.wait().expect("judged"));
            heard.iter().any(|heard| matches!(heard, Heard::End { .. }))
        });
        ends.expect("a turn") * PIECE
    };
    let (by_pause, by_meaning) = (end(None), end(Some(2_000)));
    assert!(
        by_meaning + RATE / 5 < by_pause,
        "{by_meaning} and {by_pause}"
    );
}

#[test]
fn every_recorded_sentence_is_a_turn() {
    // None is cut in two: their longest breath is 0.7 s. None run together.
    let rules = ListenerRules {
        pause: Some(900),
        ..ListenerRules::default()
    };
    let clips = sentences();
    let mut sound = room(RATE);
    for path in &clips {
        sound.extend(recorded(path));
        sound.extend(room(3 * RATE / 2));
    }
    let heard = told(rules, &sound, PIECE);
    assert_eq!(turns(&heard).len(), clips.len(), "{heard:?}");
}

/// The repository's question, and the recordings beside the repository where there are any.
fn sentences() -> Vec<PathBuf> {
    let shared = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/audio");
    let mut found = vec![question()];
    for folder in ["questions", "fleurs"] {
        let entries = std::fs::read_dir(shared.join(folder))
            .into_iter()
            .flatten()
            .flatten();
        found.extend(entries.map(|entry| entry.path()));
    }
    found.retain(|path| path.extension().is_some_and(|e| e == "wav" || e == "ogg"));
    found.sort();
    found
}

/// Plays an answer whose echo comes back 30 ms late and 12 dB down, while `person` is heard, and
/// holds it where it is told to. What is told, with the position it is told at.
fn converse(answer: &[f32], person: &[f32]) -> Vec<(u64, Heard)> {
    let mut listener = listener(ListenerRules::default());
    let (mut played, mut next, mut held) = (vec![0.0; 480], 0, false);
    let (mut told, room) = (Vec::new(), room(person.len()));
    for start in (0..person.len() / PIECE * PIECE).step_by(PIECE) {
        let piece = match held {
            false => answer[next..next + PIECE].to_vec(),
            true => vec![0.0; PIECE],
        };
        next += if held { 0 } else { PIECE };
        played.extend(&piece);
        let heard = |i: usize| 0.25 * played[i] + person[i] + room[i];
        let heard: Vec<f32> = (start..start + PIECE).map(heard).collect();
        for one in listener
            .hear(&heard, (!held).then_some(&piece))
            .expect("heard")
        {
            held = match one {
                Heard::Overlap => true,
                Heard::OverlapOver => false,
                _ => held,
            };
            told.push((listener.position(), one));
        }
    }
    told
}

/// Six seconds of answer.
fn answer() -> Vec<f32> {
    let sentence = recorded(&bundled_question());
    sentence.iter().copied().cycle().take(6 * RATE).collect()
}

fn at_four_seconds(person: &[f32]) -> Vec<f32> {
    let mut sound = vec![0.0; 6 * RATE];
    sound[4 * RATE..4 * RATE + person.len()].copy_from_slice(person);
    sound
}

#[test]
fn an_answers_echo_does_not_interrupt_it() {
    let told = converse(&answer(), &vec![0.0; 5 * RATE]);
    let holds = told
        .iter()
        .filter(|(_, heard)| *heard == Heard::Overlap)
        .count();
    let allowed = |heard: &Heard| matches!(heard, Heard::Overlap | Heard::OverlapOver);
    assert!(
        holds <= 2 && told.iter().all(|(_, heard)| allowed(heard)),
        "{told:?}"
    );
}

#[test]
fn a_person_interrupts_an_answer_over_its_echo() {
    for level in [0.5, 1.0] {
        let person: Vec<f32> = asked().iter().map(|x| x * level).collect();
        let told = converse(&answer(), &at_four_seconds(&person[..RATE]));
        let onset = 4 * RATE as u64;
        let held = told
            .iter()
            .find(|(at, heard)| *heard == Heard::Overlap && *at > onset);
        assert!(
            held.is_some_and(|(at, _)| at - onset < RATE as u64 / 5),
            "{told:?}"
        );
        let turn = told.iter().find_map(|(_, heard)| match heard {
            Heard::Interruption { at, .. } => Some(*at),
            _ => None,
        });
        assert!(
            turn.is_some_and(|at| at <= onset),
            "the pre-roll is in it: {told:?}"
        );
    }
}

#[test]
fn a_murmur_does_not_interrupt_an_answer() {
    let told = converse(&answer(), &at_four_seconds(&asked()[..3 * RATE / 10]));
    assert!(
        told.iter()
            .all(|(_, heard)| !matches!(heard, Heard::Interruption { .. })),
        "{told:?}"
    );
    assert!(
        matches!(told.last(), Some((_, Heard::OverlapOver))),
        "{told:?}"
    );
}
