//! Answers, timed: each is split into its stages.

use std::ops::ControlFlow;
use std::time::{Duration, Instant};

use anyhow::Result;
use mini_omni::{Event, Omni, Options, Question, Trace};

use super::player::Player;
use crate::cli::stats::Stats;

/// Where in the answer a step is counted as late, positions from its end.
const POSITION_BAND: usize = 50;

/// One timed answer.
pub struct Round {
    pub trace: Trace,
    pub underruns: usize,
}

impl Round {
    pub fn run(omni: &mut Omni, question: &Question, options: &Options) -> Result<Round> {
        let mut player = Player::new(&omni.manifest().codec, Duration::ZERO);
        let trace = omni.stream(question, options, |event| {
            if let Event::Audio(chunk) = event {
                player.take(Instant::now(), chunk.len());
            }
            ControlFlow::Continue(())
        })?;
        Ok(Round {
            trace,
            underruns: player.gaps,
        })
    }
}

/// Times by what they are times of, ms.
#[derive(Default)]
pub struct Stages(pub Vec<(String, Stats)>);

impl Stages {
    pub fn add(&mut self, name: &str, values: Vec<f64>) {
        self.0
            .extend(Stats::of(values).map(|stats| (name.to_string(), stats)));
    }

    pub fn add_rounds(&mut self, rounds: &[Round]) {
        let per_frame = |t: &Trace| (t.frames > 0).then(|| t.timings_ms.codec / t.frames as f64);
        let late = |t: &Trace| {
            let steps = &t.timings_ms.steps;
            steps[steps.len().saturating_sub(POSITION_BAND)..].to_vec()
        };
        self.add("mel", all(rounds, |t| vec![t.timings_ms.mel]));
        self.add("encoder", all(rounds, |t| vec![t.timings_ms.encoder]));
        self.add("prefill", all(rounds, |t| vec![t.timings_ms.prefill]));
        self.add("step", all(rounds, |t| t.timings_ms.steps.clone()));
        self.add("last steps", all(rounds, late));
        self.add(
            "codec a frame",
            all(rounds, |t| per_frame(t).into_iter().collect()),
        );
        self.add(
            "first audio",
            all(rounds, |t| t.timings_ms.first_audio.into_iter().collect()),
        );
        self.add("whole answer", all(rounds, |t| vec![t.timings_ms.total]));
    }

    /// Answers whose text ended half-way.
    pub fn add_halved(&mut self, rounds: &[Round]) {
        self.add(
            "step, half text",
            all(rounds, |t| t.timings_ms.steps.clone()),
        );
        self.add(
            "answer, half text",
            all(rounds, |t| vec![t.timings_ms.total]),
        );
    }
}

fn all(rounds: &[Round], of: impl Fn(&Trace) -> Vec<f64>) -> Vec<f64> {
    rounds.iter().flat_map(|round| of(&round.trace)).collect()
}
