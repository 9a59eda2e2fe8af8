//! The codec's sound at a client's rate, while it comes.
//!
//! A windowed sinc: each sample that goes out is a weighted sum of those that came in around its
//! instant. At the same rate nothing is touched.

use std::f64::consts::PI;

/// Zero crossings of the sinc on each side of an instant: the telephone's band is flat to 3.4 kHz.
const CROSSINGS: f64 = 16.0;
/// Of the lower rate's band, what is kept.
const KEPT: f64 = 0.92;

/// Sound at one rate, to be pushed in pieces of any size, at another.
#[derive(Debug)]
pub struct Narrow {
    /// Samples in for a sample out.
    step: f64,
    /// The band that is kept, of what the input's rate can hold.
    band: f64,
    /// Input samples on each side of an instant.
    reach: usize,
    /// Input from `first` on that may still be needed.
    input: Vec<f32>,
    /// Its position; before the first sample there was silence.
    first: i64,
    /// Samples that went out.
    written: u64,
}

impl Narrow {
    /// `from`, `to`: Hz.
    pub fn new(from: u32, to: u32) -> Narrow {
        let step = f64::from(from) / f64::from(to);
        let band = KEPT / step.max(1.0);
        let reach = (CROSSINGS / band).ceil() as usize;
        Narrow {
            step,
            band,
            reach,
            input: vec![0.0; reach],
            first: -(reach as i64),
            written: 0,
        }
    }

    /// Takes samples; those that can be told by now.
    pub fn push(&mut self, samples: &[f32]) -> Vec<f32> {
        if self.step == 1.0 {
            return samples.to_vec();
        }
        self.input.extend_from_slice(samples);
        let end = self.first + self.input.len() as i64;
        let mut out = Vec::new();
        while self.instant() as i64 + self.reach as i64 + 1 < end {
            out.push(self.sample());
            self.written += 1;
        }
        let needless = self.instant() as i64 - self.reach as i64 - self.first;
        let needless = usize::try_from(needless).unwrap_or(0).min(self.input.len());
        self.input.drain(..needless);
        self.first += needless as i64;
        out
    }

    /// The last samples, behind which there is silence.
    pub fn finish(&mut self) -> Vec<f32> {
        if self.step == 1.0 {
            return Vec::new();
        }
        self.push(&vec![0.0; self.reach + 1])
    }

    /// Where the next sample out is, in samples in.
    fn instant(&self) -> f64 {
        self.written as f64 * self.step
    }

    fn sample(&self) -> f32 {
        let instant = self.instant();
        let from = instant as i64 - self.reach as i64 + 1;
        let start = usize::try_from(from - self.first).unwrap_or(0);
        let near = self.input[start..].iter().take(2 * self.reach);
        let sum: f64 = near
            .enumerate()
            .map(|(i, &x)| f64::from(x) * self.weight((from + i as i64) as f64 - instant))
            .sum();
        sum as f32
    }

    /// The sinc at a distance, under Hann's window.
    fn weight(&self, distance: f64) -> f64 {
        let x = distance * self.band;
        let window = (PI * x / (2.0 * CROSSINGS)).cos().powi(2);
        let sinc = if x == 0.0 {
            1.0
        } else {
            (PI * x).sin() / (PI * x)
        };
        if x.abs() < CROSSINGS {
            self.band * sinc * window
        } else {
            0.0
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(frequency: f64, rate: f64, length: usize) -> Vec<f32> {
        (0..length)
            .map(|i| (0.5 * (2.0 * PI * frequency * i as f64 / rate).sin()) as f32)
            .collect()
    }

    fn narrowed(samples: &[f32], piece: usize) -> Vec<f32> {
        let mut narrow = Narrow::new(24_000, 8_000);
        let mut out: Vec<f32> = samples.chunks(piece).flat_map(|p| narrow.push(p)).collect();
        out.extend(narrow.finish());
        out
    }

    #[test]
    fn a_sine_keeps_its_place_and_its_loudness() {
        for frequency in [100.0, 1_000.0, 3_000.0] {
            let out = narrowed(&sine(frequency, 24_000.0, 24_000), 2_048);
            let expected = sine(frequency, 8_000.0, 8_000);
            assert_eq!(out.len(), 8_000);
            let worst = (100..7_900)
                .map(|i| (out[i] - expected[i]).abs())
                .fold(0.0, f32::max);
            assert!(worst < 0.005, "{frequency} Hz: {worst}");
        }
    }

    #[test]
    fn what_the_telephone_cannot_carry_is_gone() {
        let out = narrowed(&sine(5_000.0, 24_000.0, 24_000), 2_048);
        let loudest = out[100..7_900].iter().fold(0.0f32, |m, x| m.max(x.abs()));
        assert!(loudest < 0.005, "{loudest}");
    }

    #[test]
    fn pieces_of_any_size_are_the_same_sound() {
        let whole = narrowed(&sine(440.0, 24_000.0, 5_000), 5_000);
        for piece in [1, 7, 2_048] {
            assert_eq!(narrowed(&sine(440.0, 24_000.0, 5_000), piece), whole);
        }
    }

    #[test]
    fn the_same_rate_is_the_same_sound() {
        let mut same = Narrow::new(24_000, 24_000);
        assert_eq!(same.push(&[0.1, 0.2]), [0.1, 0.2]);
        assert_eq!(same.finish(), []);
    }
}
