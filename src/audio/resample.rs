//! Any sample rate to the one a model was trained on.
//!
//! A whole clip at once: the rates are fixed, so an FFT resampler serves, with blocks long enough
//! that its filter cuts close to the lower rate's limit. Its delay is trimmed, so a sound stays where
//! it was in time.

use rubato::audioadapter_buffers::direct::InterleavedSlice;
use rubato::{Fft, FixedSync, Resampler};

use super::pcm::{can_be_heard, check_rate};
use super::{AudioError, Pcm};

/// Input samples of one block, about; longer blocks have a sharper filter.
const BLOCK: u32 = 2048;
/// Samples of the longest block: rates up to 48 kHz are kept to the letter, whatever they are.
const LONGEST: u64 = 48_000;

/// The same sound at `rate` Hz: round(n * rate / pcm.sample_rate) samples, at least one.
pub fn resample(pcm: &Pcm, rate: u32) -> Result<Pcm, AudioError> {
    if pcm.sample_rate == rate {
        return Ok(pcm.clone());
    }
    let failed = |why: String| AudioError::Resample {
        from: pcm.sample_rate,
        to: rate,
        why,
    };
    check_rate(rate).map_err(|_| failed("no sound has that rate".into()))?;
    let length = pcm.samples.len();
    let mut resampler = resampler(pcm.sample_rate, rate).map_err(|e| failed(e.to_string()))?;
    let input =
        InterleavedSlice::new(&pcm.samples, 1, length).map_err(|e| failed(e.to_string()))?;
    let output = resampler
        .process_all(&input, length, None)
        .map_err(|e| failed(e.to_string()))?;
    let mut samples = output.take_data();
    if !samples.iter().all(|&x| can_be_heard(x)) {
        return Err(failed("it is too loud".into()));
    }
    samples.resize(resampled_length(length, pcm.sample_rate, rate), 0.0);
    Ok(Pcm {
        samples,
        sample_rate: rate,
    })
}

fn resampler(from: u32, to: u32) -> Result<Fft<f32>, rubato::ResamplerConstructionError> {
    let (from, to) = simple_ratio(from, to);
    // The delay is half a block of the output: a whole number of samples only if blocks are even.
    let block = from.saturating_mul((BLOCK / from).next_multiple_of(2).max(2));
    let (from, to, block) = (from as usize, to as usize, block as usize);
    let window = rubato::WindowFunction::BlackmanHarris2;
    Fft::new_custom(from, to, block, 1, 1, window, FixedSync::Both)
}

fn resampled_length(length: usize, from: u32, to: u32) -> usize {
    let (length, from, to) = (length as u128, u128::from(from), u128::from(to));
    ((length * to + from / 2) / from).max(1) as usize
}

/// from / to in lowest terms; where those are larger than [`LONGEST`], a near fraction that is not,
/// by continued fractions: off by less than 3e-5, a millisecond in what a model hears.
pub(super) fn simple_ratio(from: u32, to: u32) -> (u32, u32) {
    let (mut a, mut b) = (u64::from(from), u64::from(to));
    let (mut last, mut ratio) = ((0, 1), (1, 0));
    while b > 0 {
        let whole = a / b;
        let next = (whole * ratio.0 + last.0, whole * ratio.1 + last.1);
        if next.0.max(next.1) > LONGEST {
            break;
        }
        (last, ratio) = (ratio, next);
        (a, b) = (b, a % b);
    }
    match ratio {
        (0, _) | (_, 0) => (from, to),
        (from, to) => (from as u32, to as u32),
    }
}

#[cfg(test)]
mod tests {
    use std::f64::consts::TAU;

    use super::*;

    fn sine(frequency: f64, sample_rate: u32, length: usize) -> Pcm {
        let sample =
            |i: usize| (0.5 * (TAU * frequency * i as f64 / f64::from(sample_rate)).sin()) as f32;
        Pcm {
            samples: (0..length).map(sample).collect(),
            sample_rate,
        }
    }

    #[test]
    fn a_sine_keeps_its_frequency_amplitude_and_phase() {
        for (from, frequency) in [8_000, 22_050, 24_000, 44_100, 48_000]
            .into_iter()
            .flat_map(|from| [100.0, 440.0, 3_000.0].map(|f| (from, f)))
        {
            let heard = resample(&sine(frequency, from, from as usize), 16_000).unwrap();
            let expected = sine(frequency, 16_000, 16_000);
            assert_eq!(heard.sample_rate, 16_000);
            assert_eq!(heard.samples.len(), 16_000);
            // The clip's ends are cut out of the sine, which no filter can follow.
            let worst = (4_000..12_000)
                .map(|i| (heard.samples[i] - expected.samples[i]).abs())
                .fold(0.0, f32::max);
            assert!(
                worst < 1e-5,
                "{from} Hz, sine of {frequency} Hz: off by {worst}"
            );
        }
    }

    #[test]
    fn what_the_lower_rate_cannot_hold_is_gone() {
        let heard = resample(&sine(10_000.0, 48_000, 48_000), 16_000).unwrap();
        let loudest = heard.samples[4_000..12_000]
            .iter()
            .fold(0.0f32, |m, x| m.max(x.abs()));
        assert!(loudest < 1e-4, "an alias of {loudest}");
    }

    #[test]
    fn a_short_sound_stays_in_its_place() {
        for from in [8_000u32, 11_025, 22_050, 44_100, 48_000, 44_101] {
            let mut pcm = Pcm {
                samples: vec![0.0; from as usize / 2],
                sample_rate: from,
            };
            pcm.samples[from as usize / 4] = 1.0;
            let heard = resample(&pcm, 16_000).unwrap().samples;
            let loudest = (0..heard.len())
                .max_by(|&a, &b| heard[a].total_cmp(&heard[b]))
                .unwrap();
            assert!(loudest.abs_diff(4_000) <= 1, "{from} Hz: at {loudest}");
        }
    }

    #[test]
    fn lengths_are_rounded_for_short_and_odd_clips() {
        for from in [8_000, 22_050, 44_100, 48_000, 44_101, 1_000, 384_000] {
            for length in [1, 2, 3, 160, 4_409, 4_410, 4_411, 10_007] {
                let pcm = Pcm {
                    samples: vec![0.1; length],
                    sample_rate: from,
                };
                let expected = (length as f64 * 16_000.0 / f64::from(from))
                    .round()
                    .max(1.0) as usize;
                let heard = resample(&pcm, 16_000).unwrap();
                assert_eq!(
                    heard.samples.len(),
                    expected,
                    "{length} samples at {from} Hz"
                );
            }
        }
    }

    #[test]
    fn ratios_are_simple_and_near() {
        assert_eq!(simple_ratio(44_100, 16_000), (441, 160));
        assert_eq!(simple_ratio(44_101, 16_000), (44_101, 16_000));
        assert_eq!(simple_ratio(384_000, 16_000), (24, 1));
        for from in [48_017, 95_999, 240_005, 383_987] {
            let (p, q) = simple_ratio(from, 16_000);
            let off = f64::from(p) / f64::from(q) * 16_000.0 / f64::from(from) - 1.0;
            assert!(
                p <= 48_000 && off.abs() < 3e-5,
                "{from}: {p}/{q}, off by {off}"
            );
        }
    }

    #[test]
    fn extreme_rates_take_little_time() {
        // Primes share nothing with 16,000, so their blocks are the longest.
        for from in [1_000, 1_009, 44_101, 47_981, 383_987, 384_000] {
            let start = std::time::Instant::now();
            let heard = resample(&sine(100.0, from, 30 * from as usize), 16_000).unwrap();
            assert_eq!(heard.samples.len(), 30 * 16_000);
            assert!(
                start.elapsed().as_secs() < 10,
                "{from} Hz: {:?}",
                start.elapsed()
            );
        }
    }

    #[test]
    fn the_same_rate_is_the_same_sound_and_no_rate_is_an_error() {
        let pcm = sine(440.0, 16_000, 100);
        assert_eq!(resample(&pcm, 16_000).unwrap().samples, pcm.samples);
        for rate in [0, 999, u32::MAX] {
            assert!(resample(&pcm, rate).is_err());
        }
    }
}
