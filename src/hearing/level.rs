//! As loud as a voice: the detector hears a quiet question as well as a loud one.
//!
//! Silero's probabilities sink with the level: of the recorded questions at -60 dBFS, and of quiet
//! ones in noise, some would be lost. A recording's offset, which a microphone adds, goes first.

use std::f32::consts::TAU;

use super::{FRAME, SAMPLE_RATE};

/// RMS that loud frames are brought to: -20 dBFS.
const TARGET: f32 = 0.1;
/// Most gain of a whole clip: 40 dB.
const MOST_GAIN: f32 = 100.0;
/// Most gain of sound that is still coming: 20 dB. Before a voice has come there is a room, which
/// must not become as loud as the voice will be.
const MOST_FOLLOWING: f32 = 10.0;
/// RMS of the loudest frames below which nothing can be made out: -80 dBFS. A microphone that is
/// muted gives dither, and raised to the level of a voice half a second of it may pass for one.
const LEAST: f32 = 1e-4;
/// Hz; there is no speech below.
const LOWEST: f32 = 40.0;
/// The loudness of a clip is that of this frame, counted from the loudest: a click is over sooner.
const LOUD_FRAMES: usize = 3;
/// What is left of a loudness a frame later: it halves in seven seconds.
const DECAY: f32 = 0.9968;

/// Takes the offset, and what is too low to be speech, out of sound.
#[derive(Default)]
pub(super) struct HighPass {
    /// The last sample that came in; the offset is taken to have been there for ever.
    input: Option<f32>,
    output: f32,
}

impl HighPass {
    /// The same samples without it.
    pub fn run(&mut self, samples: &[f32]) -> Vec<f32> {
        const KEPT: f32 = 1.0 - TAU * LOWEST / SAMPLE_RATE as f32;
        let mut next = |&sample: &f32| {
            let last = self.input.replace(sample).unwrap_or(sample);
            self.output = KEPT * self.output + sample - last;
            self.output
        };
        samples.iter().map(&mut next).collect()
    }
}

/// What frames are multiplied by.
pub(super) enum Gain {
    /// The whole clip is known.
    Fixed(f32),
    /// It follows the loudest of what was heard lately (RMS).
    Following(f32),
}

impl Gain {
    /// Of a whole clip.
    pub fn of_clip(samples: &[f32]) -> Gain {
        let mut loudness: Vec<f32> = samples.chunks(FRAME).map(rms).collect();
        loudness.sort_unstable_by(|a, b| b.total_cmp(a));
        let at = LOUD_FRAMES.min(loudness.len() / 4);
        match (loudness.first(), loudness.get(at)) {
            (Some(&loudest), Some(&loud)) if loudest >= LEAST => {
                Gain::Fixed((TARGET / loud).min(MOST_GAIN))
            }
            _ => Gain::Fixed(0.0),
        }
    }

    /// What to multiply the next frame with, whose new samples are `frame`.
    pub fn next(&mut self, frame: &[f32]) -> f32 {
        match self {
            Gain::Fixed(gain) => *gain,
            Gain::Following(loudness) => {
                *loudness = rms(frame).max(*loudness * DECAY);
                if *loudness < LEAST {
                    return 0.0;
                }
                (TARGET / *loudness).min(MOST_FOLLOWING)
            }
        }
    }
}

fn rms(samples: &[f32]) -> f32 {
    // A chunk that is not full is silence behind its end.
    (samples.iter().map(|x| x * x).sum::<f32>() / FRAME as f32).sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(level: f32, n: usize) -> Vec<f32> {
        (0..n).map(|i| level * (i as f32 * 0.3).sin()).collect()
    }

    #[test]
    fn an_offset_is_gone_from_the_first_sample_on() {
        let offset: Vec<f32> = sine(0.01, 4096).iter().map(|x| x + 0.3).collect();
        let (mut whole, mut pieces) = (HighPass::default(), HighPass::default());
        let heard = whole.run(&offset);
        assert!(heard.iter().all(|x| x.abs() < 0.02));
        let pieces: Vec<f32> = offset.chunks(7).flat_map(|p| pieces.run(p)).collect();
        assert_eq!(heard, pieces);
    }

    #[test]
    fn quiet_and_loud_clips_become_as_loud_as_each_other() {
        let heard = |level: f32| match Gain::of_clip(&sine(level, 32_000)) {
            Gain::Fixed(gain) => gain * level,
            Gain::Following(_) => 0.0,
        };
        assert!((heard(0.01) - heard(0.9)).abs() < 1e-4);
        assert!(heard(3e-4) < 0.1, "the gain has its limit");
        assert_eq!(heard(1e-5), 0.0, "a muted microphone");
    }

    #[test]
    fn a_click_does_not_hide_a_quiet_voice() {
        let mut clip = sine(0.01, 32_000);
        clip[16_000..17_000].fill(1.0);
        let Gain::Fixed(gain) = Gain::of_clip(&clip) else {
            panic!("known")
        };
        assert!(gain > 10.0);
    }

    #[test]
    fn a_short_word_in_silence_is_not_taken_for_silence() {
        let clip = [vec![0.0; 16_000], sine(0.1, 2 * FRAME), vec![0.0; 16_000]].concat();
        assert!(matches!(Gain::of_clip(&clip), Gain::Fixed(gain) if gain > 0.0));
    }

    #[test]
    fn a_following_gain_falls_at_once_and_rises_slowly() {
        let mut gain = Gain::Following(0.0);
        assert_eq!(gain.next(&[0.0; FRAME]), 0.0);
        assert_eq!(gain.next(&sine(2e-4, FRAME)), MOST_FOLLOWING);
        let loud = gain.next(&sine(0.5, FRAME));
        assert!(loud < 0.5);
        let later = (0..30).map(|_| gain.next(&[0.0; FRAME])).last();
        assert!(later.is_some_and(|later| later < 1.2 * loud));
    }
}
