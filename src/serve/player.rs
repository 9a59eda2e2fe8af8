//! Whether sound comes in time for a player that has no buffer.

use std::time::Instant;

/// A player that begins with the first sound.
pub struct Player {
    sample_rate: f64,
    began: Option<Instant>,
    samples: usize,
}

impl Player {
    /// Waits for the first sound; `sample_rate`: Hz.
    pub fn new(sample_rate: u32) -> Player {
        Player {
            sample_rate: sample_rate.into(),
            began: None,
            samples: 0,
        }
    }

    /// Takes so many samples; whether they came later than the player needed them.
    pub fn runs_dry(&mut self, samples: usize, now: Instant) -> bool {
        let played = now.duration_since(*self.began.get_or_insert(now));
        let late = played.as_secs_f64() * self.sample_rate > self.samples as f64;
        self.samples += samples;
        late
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_player_runs_dry_where_sound_is_late() {
        let start = Instant::now();
        let mut player = Player::new(1000);
        let mut at = |ms| player.runs_dry(100, start + Duration::from_millis(ms));
        assert!(!at(40), "the player waits for the first");
        assert!(!at(140), "just in time");
        assert!(at(241), "a millisecond late");
    }
}
