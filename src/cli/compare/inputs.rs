//! What models are asked to be compared or recorded by: sounds, texts, or a few built in.

use std::f32::consts::TAU;
use std::path::{Path, PathBuf};

use anyhow::Result;
use mini_omni::audio::Limit;
use mini_omni::compare::Protocol;
use mini_omni::model::MelDims;
use mini_omni::{Pcm, Question, Task};

/// Asked where nothing is given.
const TEXTS: [&str; 3] = [
    "What is your name?",
    "How are you feeling today?",
    "Tell me something about the weather in the mountains.",
];
/// Of the built-in sound.
const SECONDS: usize = 2;
const SAMPLE_RATE: u32 = 16_000;

/// One question with the name it has in the report.
pub struct Input {
    pub name: String,
    pub question: Question,
}

impl Input {
    /// How it is asked: by `task`, if that answers questions of its kind, or else by its kind's default.
    pub fn protocol(&self, task: Option<Task>, max_steps: u32) -> Protocol {
        let source = self.question.source();
        let chosen = task.filter(|task| task.source() == source);
        Protocol {
            task: chosen.unwrap_or_else(|| Task::default_for(source)),
            max_steps: max_steps as usize,
        }
    }
}

/// Sounds first, then texts; the built-in ones where there is neither.
pub fn inputs(sounds: &[PathBuf], texts: &[String], mel: &MelDims) -> Result<Vec<Input>> {
    if sounds.is_empty() && texts.is_empty() {
        let texts = TEXTS.iter().map(|text| Ok(written(text)));
        return std::iter::once(babble()).chain(texts).collect();
    }
    let spoken = sounds.iter().map(|path| spoken(path, mel));
    let written = texts.iter().map(|text| Ok(written(text)));
    spoken.chain(written).collect()
}

fn written(text: &str) -> Input {
    Input {
        name: format!("{text:?}"),
        question: Question::Text(text.to_string()),
    }
}

fn spoken(path: &Path, mel: &MelDims) -> Result<Input> {
    let pcm = Limit::AtMost(mel.max_seconds as f64).read(path)?.pcm;
    Ok(Input {
        name: shown(path),
        question: Question::Audio(pcm),
    })
}

/// A path as it is, or in quotes and escaped where that would break a line of the report.
fn shown(path: &Path) -> String {
    let plain = path.display().to_string();
    match plain.contains(char::is_control) {
        true => format!("{plain:?}"),
        false => plain,
    }
}

/// Something like a voice, the same on every machine: a buzz whose pitch glides, through two moving
/// resonances, four syllables a second.
fn babble() -> Result<Input> {
    let mut phase = 0.0;
    let samples = (0..SECONDS * SAMPLE_RATE as usize).map(|i| {
        let t = i as f32 / SAMPLE_RATE as f32;
        let swing = |hz: f32| (TAU * hz * t).sin();
        let pitch = 130.0 + 30.0 * swing(0.7);
        phase = (phase + pitch / SAMPLE_RATE as f32) % 1.0;
        let resonances = [500.0 + 200.0 * swing(1.5), 1500.0 + 500.0 * swing(1.1)];
        let buzz: f32 = (1..24)
            .map(|harmonic| {
                let hz = harmonic as f32 * pitch;
                let gain: f32 = resonances
                    .map(|r| (-((hz - r) / 200.0).powi(2)).exp())
                    .iter()
                    .sum();
                gain * (TAU * harmonic as f32 * phase).sin()
            })
            .sum();
        0.1 * buzz * swing(2.0).abs()
    });
    Ok(Input {
        name: "built-in sound".into(),
        question: Question::Audio(Pcm::new(samples.collect(), SAMPLE_RATE)?),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_stays_on_its_line() {
        assert_eq!(shown("a b/ü.wav".as_ref()), "a b/ü.wav");
        assert_eq!(shown("a\n\u{1b}[2J.wav".as_ref()), "\"a\\n\\u{1b}[2J.wav\"");
    }
}
