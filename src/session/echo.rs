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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_played_ends_where_the_player_is() {
        let mut echo = Echo::new(24_000).expect("a usual rate");
        // A ramp, so that a sample tells its position.
        let ramp: Vec<f32> = (0..24_000).map(|i| i as f32 / 24_000.0).collect();
        let answer = AnswerId(1);
        ramp.chunks(700)
            .for_each(|piece| echo.hand_over(answer, piece));
        for second in [0.25, 0.5, 0.75] {
            let position = (24_000.0 * second) as u64;
            let played = echo.played((answer, position), 320).expect("it is played");
            assert_eq!(played.len(), 320);
            assert!(
                (played[319] - second as f32).abs() < 1e-3,
                "{second}: {}",
                played[319]
            );
        }
        assert_eq!(echo.played((AnswerId(2), 9), 320), None);
        echo.hand_over(AnswerId(2), &ramp[..2400]);
        let begins = echo.played((AnswerId(2), 240), 320).expect("it is played");
        assert!(
            begins[..160].iter().all(|&x| x == 0.0),
            "silence before the sound"
        );
        assert_eq!(echo.played((answer, 9), 320), None);
    }
}
