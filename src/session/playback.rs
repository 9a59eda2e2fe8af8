//! How much of an answer's sound was played.
//!
//! A player that reports is believed, and its reports alone say what was heard. Without reports sound
//! is taken to be played in real time from when it was handed over, and to stand still while held.

use std::time::Instant;

/// The player of one answer, as far as it is known. Positions are samples of its sound.
#[derive(Debug)]
pub(super) struct Playback {
    /// Hz.
    rate: f64,
    handed: u64,
    /// What comes behind it is not played.
    end: u64,
    /// Where the player is, about: set by reports, and moved by real time.
    clock: f64,
    /// When the clock was moved last; `None` before the first sound.
    at: Option<Instant>,
    held: bool,
    reported: Option<u64>,
}

impl Playback {
    /// Nothing was handed over yet. `rate`: the codec's, Hz.
    pub fn new(rate: u32) -> Playback {
        Playback {
            rate: f64::from(rate),
            handed: 0,
            end: u64::MAX,
            clock: 0.0,
            at: None,
            held: false,
            reported: None,
        }
    }

    /// The player was given so many samples more.
    pub fn hand_over(&mut self, samples: usize, now: Instant) {
        self.advance(now);
        self.at.get_or_insert(now);
        self.handed = (self.handed + samples as u64).min(self.end);
    }

    /// The player says that it has played so many in all.
    pub fn report(&mut self, samples: u64, now: Instant) {
        self.advance(now);
        let samples = samples.min(self.handed);
        self.reported = Some(samples);
        self.clock = samples as f64;
    }

    /// The player stands still.
    pub fn hold(&mut self, now: Instant) {
        self.advance(now);
        self.held = true;
    }

    /// The player goes on.
    pub fn go_on(&mut self, now: Instant) {
        self.advance(now);
        self.held = false;
    }

    /// The player drops all behind `samples`, and what it is still given.
    pub fn cut(&mut self, samples: u64) {
        self.end = self.end.min(samples);
        self.handed = self.handed.min(samples);
        self.clock = self.clock.min(samples as f64);
        self.reported = self.reported.map(|reported| reported.min(samples));
    }

    /// Samples handed over.
    pub fn handed(&self) -> u64 {
        self.handed
    }

    /// Samples that were heard.
    pub fn heard(&mut self, now: Instant) -> u64 {
        self.advance(now);
        self.reported.unwrap_or(self.clock as u64)
    }

    /// Where the player is, if it plays and is not held; it may lie a little ahead of the reports.
    pub fn position(&mut self, now: Instant) -> Option<u64> {
        (self.is_sounding(now) && !self.held).then_some(self.clock as u64)
    }

    /// Whether there is sound that was handed over and not played.
    pub fn is_sounding(&mut self, now: Instant) -> bool {
        self.advance(now);
        self.clock < self.handed as f64
    }

    fn advance(&mut self, now: Instant) {
        let Some(at) = self.at.filter(|&at| now > at) else {
            return;
        };
        if !self.held {
            let played = now.duration_since(at).as_secs_f64() * self.rate;
            self.clock = (self.clock + played).min(self.handed as f64);
        }
        self.at = Some(now);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    const RATE: u32 = 1000;

    fn clock() -> impl Fn(u64) -> Instant {
        let start = Instant::now();
        move |ms| start + Duration::from_millis(ms)
    }

    #[test]
    fn sound_is_played_in_real_time_from_when_it_was_handed_over() {
        let at = clock();
        let mut playback = Playback::new(RATE);
        assert!(!playback.is_sounding(at(50)));
        playback.hand_over(100, at(100));
        assert_eq!(playback.heard(at(130)), 30);
        assert_eq!(playback.position(at(140)), Some(40));
        assert_eq!(
            (playback.heard(at(500)), playback.position(at(500))),
            (100, None)
        );
        playback.hand_over(100, at(600));
        assert_eq!(playback.heard(at(610)), 110, "it had run dry for a while");
    }

    #[test]
    fn a_held_player_stands_still() {
        let at = clock();
        let mut playback = Playback::new(RATE);
        playback.hand_over(100, at(0));
        playback.hold(at(20));
        assert_eq!(
            (playback.heard(at(90)), playback.position(at(90))),
            (20, None)
        );
        assert!(playback.is_sounding(at(90)));
        playback.go_on(at(100));
        assert_eq!(playback.heard(at(110)), 30);
    }

    #[test]
    fn a_player_that_reports_is_believed() {
        let at = clock();
        let mut playback = Playback::new(RATE);
        playback.hand_over(100, at(0));
        playback.report(10, at(50));
        assert_eq!(
            (playback.heard(at(60)), playback.position(at(60))),
            (10, Some(20))
        );
        playback.report(900, at(70));
        assert_eq!(
            (playback.heard(at(70)), playback.is_sounding(at(70))),
            (100, false)
        );
    }

    #[test]
    fn what_is_dropped_is_never_played() {
        let at = clock();
        let mut playback = Playback::new(RATE);
        playback.hand_over(100, at(0));
        playback.cut(30);
        playback.hand_over(100, at(50));
        assert_eq!(
            (playback.heard(at(90)), playback.is_sounding(at(90))),
            (30, false)
        );
    }
}
