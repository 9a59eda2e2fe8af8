//! Any sample rate to the model's.

use rubato::audioadapter::Adapter;
use rubato::audioadapter_buffers::owned::InterleavedOwned;
use rubato::{Fft, FixedSync, Resampler};

use super::{AudioError, Pcm};

/// Samples worked on at a time; any size gives the same sound.
const CHUNK: usize = 1024;

/// The same sound at `rate` Hz, round(n · rate / from) samples, nothing shifted.
pub fn resample(pcm: &Pcm, rate: u32) -> Result<Pcm, AudioError> {
    if pcm.sample_rate == rate {
        return Ok(pcm.clone());
    }
    let from = pcm.sample_rate;
    let samples =
        convert(pcm, rate).map_err(|why| AudioError::Resample { from, to: rate, why })?;
    Ok(Pcm { samples, sample_rate: rate })
}

fn convert(pcm: &Pcm, rate: u32) -> Result<Vec<f32>, String> {
    let n = pcm.samples.len();
    let wanted = (n as f64 * f64::from(rate) / f64::from(pcm.sample_rate)).round() as usize;
    let mut resampler = Fft::<f32>::new(pcm.sample_rate as usize, rate as usize, CHUNK, 1, FixedSync::Both)
        .map_err(|e| e.to_string())?;
    let input = InterleavedOwned::new_from(pcm.samples.clone(), 1, n).map_err(|e| e.to_string())?;
    let output = resampler.process_all(&input, n, None).map_err(|e| e.to_string())?;
    let mut samples: Vec<f32> =
        (0..output.frames()).map(|i| output.read_sample(0, i).unwrap_or(0.0)).collect();
    samples.resize(wanted, 0.0);
    Ok(samples)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(rate: u32, hz: f32, n: usize) -> Pcm {
        let step = std::f32::consts::TAU * hz / rate as f32;
        Pcm { samples: (0..n).map(|i| 0.5 * (step * i as f32).sin()).collect(), sample_rate: rate }
    }

    #[test]
    fn a_sine_keeps_frequency_amplitude_and_phase() {
        for from in [8_000, 22_050, 24_000, 44_100, 48_000] {
            let n = from as usize;
            let pcm = resample(&sine(from, 440.0, n), 16_000).expect("resampled");
            assert_eq!(pcm.samples.len(), 16_000);
            let expected = sine(16_000, 440.0, 16_000);
            let inner = 1_000..15_000;
            let error = pcm.samples[inner.clone()]
                .iter()
                .zip(&expected.samples[inner])
                .map(|(a, b)| (a - b).abs())
                .fold(0.0, f32::max);
            assert!(error < 2e-3, "{from} Hz: {error}");
        }
    }

    #[test]
    fn lengths_are_rounded_and_equal_rates_are_the_identity() {
        let pcm = sine(44_100, 100.0, 1_001);
        assert_eq!(resample(&pcm, 44_100).expect("same"), pcm);
        assert_eq!(resample(&pcm, 16_000).expect("resampled").samples.len(), 363);
        let one = Pcm { samples: vec![0.5], sample_rate: 8_000 };
        assert_eq!(resample(&one, 16_000).expect("resampled").samples.len(), 2);
    }
}
