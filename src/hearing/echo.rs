//! The answer's own sound, taken out of what the microphone hears.
//!
//! A loudspeaker's sound comes back late, quieter and with the room's reverberation: a filter of what
//! is played. The filter is learned as in a Kalman filter, frequency by frequency, over blocks whose
//! delays follow each other (the partitioned-block frequency-domain Kalman filter of Kuech, Mabande
//! and Enzner, 2014). It knows how sure it is of itself, so that it learns at once, is not misled by a person
//! who speaks into the answer, and can say how much of what is left may still be echo.

use std::sync::Arc;

use realfft::num_complex::Complex;
use realfft::{ComplexToReal, RealFftPlanner, RealToComplex};

use super::FRAME;

/// Samples of a block: 16 ms.
const BLOCK: usize = FRAME / 2;
/// Blocks that the filter looks back: echoes of up to 320 ms.
const BLOCKS: usize = 20;
/// Frequencies of a block.
const BINS: usize = BLOCK + 1;
/// What a filter keeps from block to block; a room changes while people move.
const KEPT: f32 = 0.998;
/// How strong an unknown echo may be in each block of delay, as power: -17 dB.
const UNKNOWN: f32 = 0.02;
/// What the power of the person and the room keeps from block to block.
const SMOOTH: f32 = 0.9;
/// Keeps silence from being divided by 0.
const LEAST: f32 = 1e-9;

type Spectrum = Vec<Complex<f32>>;

/// One block of delay.
#[derive(Clone)]
struct Tap {
    /// What was played, this many blocks ago.
    played: Spectrum,
    /// The filter, and the power of what is unknown of it.
    filter: Spectrum,
    unknown: Vec<f32>,
}

/// A frame without its echo.
pub(super) struct Cleaned {
    /// [`FRAME`] samples.
    pub samples: Vec<f32>,
    /// Power of them, over the power that may still be echo.
    pub beyond_echo: f32,
}

/// Learns the way from the loudspeaker to the microphone.
pub(super) struct Echo {
    forward: Arc<dyn RealToComplex<f32>>,
    inverse: Arc<dyn ComplexToReal<f32>>,
    /// The last two blocks that were played.
    played: Vec<f32>,
    taps: Vec<Tap>,
    /// Power of what is no echo, by frequency.
    noise: Vec<f32>,
    /// Blocks since something was played.
    silent: usize,
}

impl Echo {
    /// Knows nothing of the room.
    pub fn new() -> Echo {
        let mut planner = RealFftPlanner::new();
        let tap = Tap {
            played: vec![Complex::default(); BINS],
            filter: vec![Complex::default(); BINS],
            unknown: vec![UNKNOWN; BINS],
        };
        Echo {
            forward: planner.plan_fft_forward(2 * BLOCK),
            inverse: planner.plan_fft_inverse(2 * BLOCK),
            played: vec![0.0; 2 * BLOCK],
            taps: vec![tap; BLOCKS],
            noise: vec![0.0; BINS],
            silent: BLOCKS,
        }
    }

    /// Takes a frame in with what was played meanwhile. `None` while nothing is played whose echo
    /// could still come.
    pub fn clean(&mut self, heard: &[f32], played: &[f32]) -> Option<Cleaned> {
        let any = played.iter().any(|&x| x != 0.0);
        if !any && self.silent >= BLOCKS {
            return None;
        }
        let mut cleaned = Cleaned {
            samples: Vec::with_capacity(FRAME),
            beyond_echo: 0.0,
        };
        let (mut left, mut echo) = (0.0, LEAST);
        for (heard, played) in heard.chunks_exact(BLOCK).zip(played.chunks_exact(BLOCK)) {
            let powers = self.block(heard, played, &mut cleaned.samples);
            left += powers.0;
            echo += powers.1;
        }
        cleaned.beyond_echo = left / echo;
        Some(cleaned)
    }

    /// Cleans a block. The power of what is left, and of what of it may be echo.
    fn block(&mut self, heard: &[f32], played: &[f32], out: &mut Vec<f32>) -> (f32, f32) {
        self.take(played);
        let estimate = self.estimate();
        let mut left = vec![0.0; 2 * BLOCK];
        let pairs = heard.iter().zip(&estimate[BLOCK..]);
        for (to, (heard, echo)) in left[BLOCK..].iter_mut().zip(pairs) {
            *to = heard - echo;
        }
        out.extend_from_slice(&left[BLOCK..]);
        let left = self.spectrum(left);
        let echo = self.unknown_echo();
        self.learn(&left, &echo);
        (left.iter().map(|x| x.norm_sqr()).sum(), echo.iter().sum())
    }

    /// Moves what was played one block back, and the next in.
    fn take(&mut self, played: &[f32]) {
        let any = played.iter().any(|&x| x != 0.0);
        self.silent = if any { 0 } else { self.silent + 1 };
        self.played.drain(..BLOCK);
        self.played.extend_from_slice(played);
        let mut next = self.spectrum(self.played.clone());
        for tap in &mut self.taps {
            std::mem::swap(&mut tap.played, &mut next);
        }
    }

    /// The echo as the filter has it: two blocks, of which the second is whole.
    fn estimate(&self) -> Vec<f32> {
        let mut sum = vec![Complex::default(); BINS];
        for tap in &self.taps {
            for (sum, (x, w)) in sum.iter_mut().zip(tap.played.iter().zip(&tap.filter)) {
                *sum += x * w;
            }
        }
        self.samples(sum)
    }

    /// Power of the echo that the filter may not have found, by frequency.
    fn unknown_echo(&self) -> Vec<f32> {
        let mut sum = vec![0.0; BINS];
        for tap in &self.taps {
            for (sum, (x, unknown)) in sum.iter_mut().zip(tap.played.iter().zip(&tap.unknown)) {
                *sum += 0.5 * unknown * x.norm_sqr();
            }
        }
        sum
    }

    /// Moves the filter towards what explains `left`, the faster the less is known and the quieter
    /// everything but the echo is.
    fn learn(&mut self, left: &[Complex<f32>], echo: &[f32]) {
        for (noise, left) in self.noise.iter_mut().zip(left) {
            *noise = SMOOTH * *noise + (1.0 - SMOOTH) * left.norm_sqr();
        }
        let mut taps = std::mem::take(&mut self.taps);
        for tap in &mut taps {
            for i in 0..BINS {
                let x = tap.played[i];
                let rate = tap.unknown[i] / (echo[i] + self.noise[i] + LEAST);
                tap.filter[i] += x.conj() * left[i] * rate;
                tap.unknown[i] *= 1.0 - 0.5 * rate * x.norm_sqr();
            }
            // A filter is one block long, or the blocks of sound would wrap around.
            let mut samples = self.samples(std::mem::take(&mut tap.filter));
            samples[BLOCK..].fill(0.0);
            tap.filter = self.spectrum(samples);
            for (unknown, w) in tap.unknown.iter_mut().zip(&tap.filter) {
                *unknown = KEPT * KEPT * *unknown + (1.0 - KEPT * KEPT) * w.norm_sqr();
            }
        }
        self.taps = taps;
    }

    fn spectrum(&self, mut samples: Vec<f32>) -> Spectrum {
        let mut spectrum = self.forward.make_output_vec();
        let done = self.forward.process(&mut samples, &mut spectrum);
        debug_assert!(done.is_ok(), "two blocks");
        spectrum
    }

    fn samples(&self, mut spectrum: Spectrum) -> Vec<f32> {
        // Rounding leaves crumbs where a real sound has none.
        spectrum[0].im = 0.0;
        spectrum[BLOCK].im = 0.0;
        let mut samples = self.inverse.make_output_vec();
        let done = self.inverse.process(&mut spectrum, &mut samples);
        debug_assert!(done.is_ok(), "two blocks");
        let scale = 1.0 / (2 * BLOCK) as f32;
        samples.iter_mut().for_each(|x| *x *= scale);
        samples
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// White noise of this level, the same on every machine.
    fn noise(seed: u32, level: f32, n: usize) -> Vec<f32> {
        let mut state = seed;
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..n).map(|_| next() * level).collect()
    }

    /// What comes back of `played`: late, quieter, and once more behind that.
    fn room(played: &[f32], late: usize, level: f32) -> Vec<f32> {
        let at = |i: usize, late: usize| i.checked_sub(late).map_or(0.0, |i| played[i]);
        let echo = |i| level * (at(i, late) + 0.4 * at(i, late + 333));
        (0..played.len()).map(echo).collect()
    }

    fn clean(echo: &mut Echo, heard: &[f32], played: &[f32]) -> Vec<Cleaned> {
        let frames = heard.chunks_exact(FRAME).zip(played.chunks_exact(FRAME));
        frames.filter_map(|(h, p)| echo.clean(h, p)).collect()
    }

    fn power(samples: &[f32]) -> f32 {
        samples.iter().map(|x| x * x).sum()
    }

    #[test]
    fn an_echo_is_gone_wherever_it_comes_from() {
        for (late, level) in [(160, 0.5), (480, 0.25), (3200, 0.25)] {
            let played = noise(1, 0.3, 120 * FRAME);
            let heard = room(&played, late, level);
            let cleaned = clean(&mut Echo::new(), &heard, &played);
            let last = cleaned.last().expect("a frame");
            let ratio = power(&last.samples) / power(&heard[119 * FRAME..]);
            assert!(ratio < 0.02, "{late}, {level}: {ratio} is left");
            assert!(last.beyond_echo < 2.0, "{late}: {}", last.beyond_echo);
        }
    }

    #[test]
    fn a_voice_over_the_echo_is_left_and_told_apart() {
        let played = noise(1, 0.3, 130 * FRAME);
        let mut heard = room(&played, 480, 0.25);
        let person = noise(7, 0.04, 10 * FRAME);
        for (to, x) in heard[120 * FRAME..].iter_mut().zip(&person) {
            *to += x;
        }
        let cleaned = clean(&mut Echo::new(), &heard, &played);
        let spoken = &cleaned[120];
        let error: Vec<f32> = spoken
            .samples
            .iter()
            .zip(&person)
            .map(|(a, b)| a - b)
            .collect();
        assert!(power(&error) < 0.1 * power(&person[..FRAME]));
        assert!(cleaned[120..].iter().all(|frame| frame.beyond_echo > 4.0));
    }

    #[test]
    fn nothing_is_done_where_nothing_is_played() {
        let mut echo = Echo::new();
        assert!(echo.clean(&[0.1; FRAME], &[0.0; FRAME]).is_none());
        assert!(echo.clean(&[0.1; FRAME], &[0.1; FRAME]).is_some());
        let tail = (0..20).filter(|_| echo.clean(&[0.1; FRAME], &[0.0; FRAME]).is_some());
        assert_eq!(tail.count(), BLOCKS.div_ceil(2));
    }
}
