//! What is to be played, and how much of it has been.
//!
//! The loudspeaker takes samples at its own pace, on a thread of its own; so the queue lies behind a
//! lock that nobody holds for long. Sound goes in at the codec's rate and lies here at the
//! loudspeaker's.

use std::collections::VecDeque;

use anyhow::Result;
use mini_omni::audio::Resampler;
use mini_omni::session::AnswerId;

/// The sound of one answer at a time.
pub struct Player {
    codec_rate: u32,
    rate: u32,
    playing: Option<Playing>,
    held: bool,
}

struct Playing {
    answer: AnswerId,
    resampler: Resampler,
    queue: VecDeque<f32>,
    /// Samples at the loudspeaker's rate.
    played: u64,
    /// Whether no more sound comes.
    complete: bool,
    /// Times that the loudspeaker found nothing though more was to come.
    underruns: usize,
}

impl Player {
    /// `codec_rate`: of what is put in; `rate`: of what is taken out. Hz.
    pub fn new(codec_rate: u32, rate: u32) -> Player {
        Player {
            codec_rate,
            rate,
            playing: None,
            held: false,
        }
    }

    /// More sound of an answer; the sound of another one is over with it.
    pub fn put(&mut self, answer: AnswerId, samples: &[f32]) -> Result<()> {
        if self.playing.as_ref().is_none_or(|p| p.answer != answer) {
            self.held = false;
            self.playing = Some(Playing {
                answer,
                resampler: Resampler::new(self.codec_rate, self.rate)?,
                queue: VecDeque::new(),
                played: 0,
                complete: false,
                underruns: 0,
            });
        }
        if let Some(playing) = &mut self.playing {
            playing.queue.extend(playing.resampler.push(samples));
        }
        Ok(())
    }

    /// No more sound of `answer` comes.
    pub fn complete(&mut self, answer: AnswerId) {
        if let Some(playing) = self.playing.as_mut().filter(|p| p.answer == answer) {
            playing.queue.extend(playing.resampler.finish());
            playing.complete = true;
        }
    }

    /// Falls silent where it is, or goes on from there.
    pub fn hold(&mut self, held: bool) {
        self.held = held;
    }

    /// Drops what has not been played.
    pub fn drop_rest(&mut self) {
        self.playing = None;
        self.held = false;
    }

    /// Fills `out` with the next samples, and silence where there are none.
    pub fn fill(&mut self, out: &mut [f32]) {
        let mut filled = 0;
        if let Some(playing) = self.playing.as_mut().filter(|_| !self.held) {
            filled = out.len().min(playing.queue.len());
            for (to, from) in out.iter_mut().zip(playing.queue.drain(..filled)) {
                *to = from;
            }
            playing.played += filled as u64;
            let starved = filled < out.len() && !playing.complete && playing.played > 0;
            playing.underruns += usize::from(starved);
        }
        out[filled..].fill(0.0);
    }

    /// The answer that was put in last and the samples of it that were played, at the codec's rate.
    pub fn played(&self) -> Option<(AnswerId, u64)> {
        let at = |played: u64| played * u64::from(self.codec_rate) / u64::from(self.rate);
        self.playing.as_ref().map(|p| (p.answer, at(p.played)))
    }

    /// Times that sound was missing in the answer that was put in last.
    pub fn underruns(&self) -> usize {
        self.playing.as_ref().map_or(0, |playing| playing.underruns)
    }

    /// Whether all that will come has been played.
    pub fn is_idle(&self) -> bool {
        self.playing
            .as_ref()
            .is_none_or(|playing| playing.complete && playing.queue.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: AnswerId = AnswerId(1);

    fn player() -> Player {
        let mut player = Player::new(24_000, 24_000);
        player.put(FIRST, &[0.5; 100]).expect("put");
        player
    }

    fn fill(player: &mut Player, n: usize) -> Vec<f32> {
        let mut out = vec![9.0; n];
        player.fill(&mut out);
        out
    }

    #[test]
    fn what_is_put_in_is_played_once_and_counted() {
        let mut player = player();
        assert_eq!(fill(&mut player, 60), [0.5; 60]);
        assert_eq!(player.played(), Some((FIRST, 60)));
        assert!(!player.is_idle());
        let rest = fill(&mut player, 60);
        assert_eq!((rest[39], rest[40]), (0.5, 0.0));
        assert_eq!(
            (player.played(), player.underruns()),
            (Some((FIRST, 100)), 1)
        );
        player.complete(FIRST);
        assert!(player.is_idle());
        fill(&mut player, 60);
        assert_eq!(player.underruns(), 1, "the end is none");
    }

    #[test]
    fn a_held_answer_goes_on_where_it_was() {
        let mut player = player();
        fill(&mut player, 10);
        player.hold(true);
        assert_eq!(fill(&mut player, 10), [0.0; 10]);
        assert_eq!(player.played(), Some((FIRST, 10)));
        player.hold(false);
        assert_eq!(fill(&mut player, 10), [0.5; 10]);
    }

    #[test]
    fn nothing_of_a_dropped_answer_is_played() {
        let mut player = player();
        player.hold(true);
        player.drop_rest();
        assert_eq!(fill(&mut player, 10), [0.0; 10]);
        assert!(player.is_idle());
        player.put(AnswerId(2), &[0.25; 5]).expect("put");
        assert_eq!(fill(&mut player, 5), [0.25; 5]);
        assert_eq!(player.played(), Some((AnswerId(2), 5)));
    }

    #[test]
    fn samples_are_counted_at_the_codecs_rate() {
        let mut player = Player::new(24_000, 48_000);
        player.put(FIRST, &[0.5; 24_000]).expect("put");
        fill(&mut player, 24_000);
        assert_eq!(player.played(), Some((FIRST, 12_000)));
    }
}
