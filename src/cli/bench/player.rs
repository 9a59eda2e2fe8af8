//! A simulated listener: plays what comes, and notes what comes too late.

use std::time::{Duration, Instant};

use mini_omni::model::CodecDims;

/// Plays an answer from its first sound on.
pub struct Player {
    /// Hz.
    rate: f64,
    frame: Duration,
    /// How long it holds the first sound back.
    buffer: Duration,
    /// When it has played all it was given.
    dry: Option<Instant>,
    /// Frames that came after they should have begun to sound.
    pub late: usize,
    /// Times the listener heard nothing because of them.
    pub gaps: usize,
}

impl Player {
    /// A player that starts `buffer` after the first sound.
    pub fn new(codec: &CodecDims, buffer: Duration) -> Player {
        let rate = f64::from(codec.sample_rate);
        Player {
            rate,
            frame: Duration::from_secs_f64(codec.samples_per_frame as f64 / rate),
            buffer,
            dry: None,
            late: 0,
            gaps: 0,
        }
    }

    /// Takes `samples` that came at `now`.
    pub fn take(&mut self, now: Instant, samples: usize) {
        let length = Duration::from_secs_f64(samples as f64 / self.rate);
        let dry = self.dry.unwrap_or(now + self.buffer);
        let missed = now.saturating_duration_since(dry);
        if missed > Duration::ZERO {
            let frames = |time: Duration| time.div_duration_f64(self.frame).ceil() as usize;
            self.gaps += 1;
            self.late += frames(missed).min(frames(length));
        }
        // The listener waited; what follows is heard that much later.
        self.dry = Some(dry.max(now) + length);
    }

    /// How long what it was given still sounds.
    pub fn left(&self, now: Instant) -> Duration {
        self.dry
            .map_or(Duration::ZERO, |dry| dry.saturating_duration_since(now))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn player(buffer: u64) -> Player {
        Player {
            rate: 1000.0,
            frame: Duration::from_millis(100),
            buffer: Duration::from_millis(buffer),
            dry: None,
            late: 0,
            gaps: 0,
        }
    }

    fn play(mut player: Player, chunks: &[(u64, usize)]) -> (usize, usize) {
        let start = Instant::now();
        for &(at, samples) in chunks {
            player.take(start + Duration::from_millis(at), samples);
        }
        (player.late, player.gaps)
    }

    #[test]
    fn sound_that_comes_before_the_player_runs_dry_is_on_time() {
        assert_eq!(play(player(0), &[(0, 100), (100, 200), (250, 100)]), (0, 0));
    }

    #[test]
    fn a_gap_makes_frames_late_and_moves_what_follows() {
        assert_eq!(play(player(0), &[(0, 100), (150, 300), (440, 100)]), (1, 1));
        assert_eq!(play(player(0), &[(0, 100), (350, 300)]), (3, 1));
    }

    #[test]
    fn a_buffer_forgives_as_much_as_it_holds() {
        assert_eq!(play(player(50), &[(0, 100), (150, 300)]), (0, 0));
        assert_eq!(play(player(50), &[(0, 100), (151, 300)]), (1, 1));
    }
}
