//! Any sample rate to another while the sound is still coming.
//!
//! A windowed sinc, as long as a low delay allows: the filter of a whole clip (`resample`) is sharper
//! and needs all of it. A sound stays where it was in time, and its pieces may have any size: the
//! samples that come out are the same.

use std::f64::consts::PI;

use super::AudioError;
use super::pcm::check_rate;
use super::resample::simple_ratio;

/// Zero crossings of the sinc on either side of its centre, at the lower of the two rates: 3 ms at
/// 16 kHz, 6 ms at 8 kHz.
const CROSSINGS: f64 = 48.0;
/// The filter's middle, of the lower rate: what is cut is gone (-90 dB) at half of it, and nothing
/// below 0.44 of it is touched.
const CUTOFF: f64 = 0.47;
/// The Kaiser window's beta for -90 dB.
const BETA: f64 = 8.96;
/// Most filters, one for each position between two samples. The usual rates need 640 at most; where
/// there are more positions, the nearest filter serves (-60 dB).
const MOST_PHASES: u64 = 1024;

/// Brings sound that is still coming to another sample rate. Its output is late by
/// [`Resampler::delay_ms`].
pub struct Resampler {
    /// Input samples that make `to` output samples.
    from: u64,
    to: u64,
    /// Filters [phases][2 * half], each of sum 1.
    filters: Vec<Vec<f32>>,
    /// Input samples on either side that an output sample depends on.
    half: usize,
    delay_ms: f64,
    /// Input that is still needed; the first sample is that of number `first` - `half`, and those
    /// before the sound are silence.
    waiting: Vec<f32>,
    first: u64,
    /// Number of the next output sample, and of the input samples that came.
    next: u64,
    came: u64,
}

impl Resampler {
    /// From and to any rates of [`super::LOWEST_RATE`] to [`super::HIGHEST_RATE`] Hz.
    pub fn new(from: u32, to: u32) -> Result<Resampler, AudioError> {
        let failed = |why: &str| AudioError::Resample {
            from,
            to,
            why: why.into(),
        };
        for rate in [from, to] {
            check_rate(rate).map_err(|_| failed("no sound has that rate"))?;
        }
        let scale = (f64::from(to) / f64::from(from)).min(1.0);
        let half = if from == to {
            0
        } else {
            (CROSSINGS / scale).ceil() as usize
        };
        let (ratio_from, ratio_to) = simple_ratio(from, to);
        let phases = u64::from(ratio_to).min(MOST_PHASES);
        let filter = |phase: u64| filter(phase as f64 / phases as f64, half, scale);
        Ok(Resampler {
            from: u64::from(ratio_from),
            to: u64::from(ratio_to),
            filters: (0..phases).map(filter).collect(),
            half,
            delay_ms: half as f64 * 1000.0 / f64::from(from),
            waiting: vec![0.0; half],
            first: 0,
            next: 0,
            came: 0,
        })
    }

    /// Milliseconds of input behind a sample that must have come before it comes out: 3 where the
    /// lower rate is 16 kHz, 6 at 8 kHz, none where the rates are the same.
    pub fn delay_ms(&self) -> f64 {
        self.delay_ms
    }

    /// Takes samples in; those that are now certain.
    pub fn push(&mut self, samples: &[f32]) -> Vec<f32> {
        if self.half == 0 {
            return samples.to_vec();
        }
        self.waiting.extend_from_slice(samples);
        self.came += samples.len() as u64;
        let mut out = Vec::new();
        while let Some(sample) = self.sample() {
            out.push(sample);
        }
        self.forget();
        out
    }

    /// The sound is over: what is still to come, round(n * to / from) samples in all. Another sound
    /// may follow.
    pub fn finish(&mut self) -> Vec<f32> {
        let all = (self.came * self.to + self.from / 2) / self.from;
        let missing = all.saturating_sub(self.next) as usize;
        let mut out = self.push(&vec![0.0; 2 * self.half]);
        out.truncate(missing);
        self.waiting = vec![0.0; self.half];
        (self.first, self.next, self.came) = (0, 0, 0);
        out
    }

    /// The next output sample, if all that it depends on has come.
    fn sample(&mut self) -> Option<f32> {
        let phases = self.filters.len() as u64;
        let position = self.next * self.from;
        // Rounded to the nearest filter; behind the last, that is the first of the next sample.
        let phase = (position % self.to * phases + self.to / 2) / self.to;
        let centre = position / self.to + phase / phases;
        let start = (centre - self.first) as usize + 1;
        let heard = self.waiting.get(start..start + 2 * self.half)?;
        let filter = &self.filters[(phase % phases) as usize];
        self.next += 1;
        Some(heard.iter().zip(filter).map(|(x, w)| x * w).sum())
    }

    /// Drops what no further sample depends on.
    fn forget(&mut self) {
        let centre = self.next * self.from / self.to;
        let gone = ((centre - self.first) as usize).min(self.waiting.len());
        self.waiting.drain(..gone);
        self.first += gone as u64;
    }
}

/// Weights of the samples around a position that lies `fraction` behind a sample: from `half` - 1
/// before that sample to `half` behind it.
fn filter(fraction: f64, half: usize, scale: f64) -> Vec<f32> {
    if half == 0 {
        return Vec::new();
    }
    let weight = |i: usize| {
        let distance = (i as f64 + 1.0 - half as f64 - fraction) * scale;
        sinc(2.0 * CUTOFF * distance) * kaiser(distance / CROSSINGS)
    };
    let weights: Vec<f64> = (0..2 * half).map(weight).collect();
    let sum: f64 = weights.iter().sum();
    weights.iter().map(|w| (w / sum) as f32).collect()
}

fn sinc(x: f64) -> f64 {
    if x == 0.0 {
        1.0
    } else {
        (PI * x).sin() / (PI * x)
    }
}

/// The Kaiser window over -1 to 1.
fn kaiser(x: f64) -> f64 {
    bessel(BETA * (1.0 - x * x).max(0.0).sqrt()) / bessel(BETA)
}

/// The modified Bessel function of order 0, by its series.
fn bessel(x: f64) -> f64 {
    let mut term = 1.0;
    let mut sum = 1.0;
    for k in 1..50 {
        term *= (x / (2.0 * f64::from(k))).powi(2);
        sum += term;
    }
    sum
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    fn sine(frequency: f64, rate: u32, length: usize) -> Vec<f32> {
        let sample = |i: usize| (0.5 * (TAU * frequency * i as f64 / f64::from(rate)).sin()) as f32;
        (0..length).map(sample).collect()
    }

    fn resampled(from: u32, to: u32, sound: &[f32], size: usize) -> Vec<f32> {
        let mut resampler = Resampler::new(from, to).unwrap();
        let mut out: Vec<f32> = sound.chunks(size).flat_map(|p| resampler.push(p)).collect();
        out.extend(resampler.finish());
        out
    }

    const RATES: [(u32, u32); 10] = [
        (8_000, 16_000),
        (24_000, 16_000),
        (44_100, 16_000),
        (48_000, 16_000),
        (16_000, 24_000),
        (24_000, 8_000),
        (24_000, 44_100),
        (24_000, 48_000),
        (16_000, 16_000),
        (44_101, 16_000),
    ];

    #[test]
    fn a_sine_keeps_its_frequency_amplitude_and_phase() {
        for ((from, to), hz) in RATES
            .iter()
            .flat_map(|r| [100.0, 1000.0, 3500.0].map(|f| (*r, f)))
        {
            let heard = resampled(from, to, &sine(hz, from, from as usize), 320);
            let expected = sine(hz, to, to as usize);
            assert_eq!(heard.len(), expected.len());
            let middle = to as usize / 4..to as usize / 4 * 3;
            let worst = middle
                .map(|i| (heard[i] - expected[i]).abs())
                .fold(0.0, f32::max);
            // 44,101 Hz has more positions than there are filters.
            let most = if from == 44_101 { 1e-3 } else { 5e-5 };
            assert!(worst < most, "{from} to {to} Hz, {hz} Hz: off by {worst}");
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_gone() {
        for (from, to, hz) in [
            (48_000, 16_000, 8_000.0),
            (24_000, 16_000, 9_000.0),
            (24_000, 8_000, 4_000.0),
        ] {
            let heard = resampled(from, to, &sine(hz, from, from as usize), 480);
            let middle = &heard[to as usize / 4..to as usize / 4 * 3];
            let loudest = middle.iter().fold(0.0f32, |m, x| m.max(x.abs()));
            assert!(loudest < 1e-4, "{from} to {to} Hz, {hz} Hz: {loudest}");
        }
    }

    #[test]
    fn pieces_of_any_size_make_the_same_sound() {
        for (from, to) in RATES {
            let sound = sine(440.0, from, from as usize / 5);
            let whole = resampled(from, to, &sound, sound.len());
            assert_eq!(whole.len(), to as usize / 5);
            for size in [1, 7, 160, 441, 4096] {
                assert!(
                    resampled(from, to, &sound, size) == whole,
                    "{from} to {to}, {size}"
                );
            }
        }
    }

    #[test]
    fn it_is_late_by_its_delay_and_no_more() {
        for (from, to) in RATES {
            let mut resampler = Resampler::new(from, to).unwrap();
            let out = resampler.push(&vec![0.1; from as usize]).len() as f64;
            let late = (1.0 - out / f64::from(to)) * 1000.0;
            let most = resampler.delay_ms() + 1000.0 / f64::from(to);
            assert!(
                late <= most && most < 6.2,
                "{from} to {to}: {late} of {most}"
            );
        }
    }

    #[test]
    fn a_second_sound_begins_anew() {
        let mut resampler = Resampler::new(24_000, 16_000).unwrap();
        let sound = sine(440.0, 24_000, 1_000);
        let mut both = || [resampler.push(&sound), resampler.finish()].concat();
        assert_eq!(both(), both());
        assert!(Resampler::new(24_000, 16_000).unwrap().finish().is_empty());
    }

    #[test]
    fn no_rate_is_an_error() {
        for (from, to) in [(0, 16_000), (16_000, 0), (999, 16_000), (16_000, u32::MAX)] {
            assert!(Resampler::new(from, to).is_err());
        }
    }
}
