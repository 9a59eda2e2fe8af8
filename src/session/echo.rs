//! The sound of the answer that is being played, as the microphone would hear it.

use std::collections::VecDeque;

use super::event::AnswerId;
use crate::audio::streaming::Resampler;
use crate::error::Result;
use crate::hearing::SAMPLE_RATE;

/// Samples at 16 kHz that are kept behind the player: two seconds.
const KEPT: u64 = 2 * SAMPLE_RATE as u64;

/// The sound of the last answer at 16 kHz, from a while before where the player is.
pub(super) struct Echo {
    /// Hz of an answer's sound.
    rate: u32,
    answer: Option<AnswerId>,
    resampler: Option<Resampler>,
    sound: VecDeque<f32>,
    /// Position of the first sample that is kept.
    first: u64,
}

impl Echo {
    /// Nothing is played. `rate`: the codec's, Hz.
    pub fn new(rate: u32) -> Echo {
        Echo {
            rate,
            answer: None,
            resampler: None,
            sound: VecDeque::new(),
            first: 0,
        }
    }

    /// Samples of an answer go to the player.
    pub fn hand_over(&mut self, answer: AnswerId, samples: &[f32]) -> Result<()> {
        if self.answer != Some(answer) {
            self.answer = Some(answer);
            self.resampler = None;
            self.sound.clear();
            self.first = 0;
        }
        let resampler = match &mut self.resampler {
            Some(resampler) => resampler,
            none => none.insert(Resampler::new(self.rate, SAMPLE_RATE)?),
        };
        self.sound.extend(resampler.push(samples)?);
        Ok(())
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
