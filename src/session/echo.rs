//! The sound of the answer that is being played, as the microphone would hear it.

use std::collections::VecDeque;

use super::event::AnswerId;
use crate::audio::Resampler;
use crate::error::Result;
use crate::hearing::SAMPLE_RATE;

/// Samples at 16 kHz that are kept behind the player: two seconds.
const KEPT: u64 = 2 * SAMPLE_RATE as u64;

/// The sound of the last answer at 16 kHz, from a while before where the player is.
pub(super) struct Echo {
    /// Hz of an answer's sound.
    rate: u32,
    answer: Option<AnswerId>,
    resampler: Resampler,
    sound: VecDeque<f32>,
    /// Position of the first sample that is kept.
    first: u64,
}

impl Echo {
    /// Nothing is played. `rate`: the codec's, Hz.
    pub fn new(rate: u32) -> Result<Echo> {
        Ok(Echo {
            rate,
            answer: None,
            resampler: Resampler::new(rate, SAMPLE_RATE)?,
            sound: VecDeque::new(),
            first: 0,
        })
    }

    /// Samples of an answer go to the player.
    pub fn hand_over(&mut self, answer: AnswerId, samples: &[f32]) {
        if self.answer != Some(answer) {
            self.answer = Some(answer);
            self.resampler.finish();
            self.sound.clear();
            self.first = 0;
        }
        self.sound.extend(self.resampler.push(samples));
    }

    /// The `n` samples that were played up to when the player had played `position` of `answer`'s own
    /// samples.
    pub fn played(&mut self, (answer, position): (AnswerId, u64), n: usize) -> Option<Vec<f32>> {
        if self.answer != Some(answer) {
            return None;
        }
        let end = position * u64::from(SAMPLE_RATE) / u64::from(self.rate.max(1));
        let start = end.saturating_sub(n as u64);
        let silence = n - (end - start) as usize;
        let at = |position: u64| {
            let index = position.checked_sub(self.first)?;
            self.sound.get(index as usize).copied()
        };
        let played = (start..end).map(|position| at(position).unwrap_or(0.0));
        let played = std::iter::repeat_n(0.0, silence).chain(played).collect();
        let old = start.saturating_sub(KEPT).saturating_sub(self.first);
        let old = (old as usize).min(self.sound.len());
        self.sound.drain(..old);
        self.first += old as u64;
        Some(played)
    }
}
