//! Whisper's log-mel spectrogram.
//!
//! 400-point periodic Hann window, hop 160, reflect padding, power spectrum, slaney mel filters,
//! log10 clamped at 1e-10 and at the clip's maximum - 8, then (x + 4) / 4; all sizes come from the
//! manifest. A clip is padded with silence to the encoder's window, and frames that see nothing but
//! that padding are all alike, so only the others are computed.

use std::f64::consts::PI;
use std::sync::Arc;

use ndarray::{Array2, Axis};
use rayon::prelude::*;
use realfft::{RealFftPlanner, RealToComplex};

use crate::manifest::MelDims;

/// The smallest power that counts, and the range below the loudest.
const FLOOR: f32 = 1e-10;
const RANGE: f32 = 8.0;

/// Window, transform and filters, planned once.
pub struct MelSpectrogram {
    n_fft: usize,
    hop: usize,
    n_mels: usize,
    window: Vec<f32>,
    /// For each mel: the first bin it hears, and its weights from there on.
    filters: Vec<(usize, Vec<f32>)>,
    fft: Arc<dyn RealToComplex<f32>>,
}

impl MelSpectrogram {
    /// Plans for the model's sizes.
    pub fn new(dims: &MelDims) -> MelSpectrogram {
        let n = dims.n_fft;
        let hann = |i: usize| (0.5 - 0.5 * (2.0 * PI * i as f64 / n as f64).cos()) as f32;
        MelSpectrogram {
            n_fft: n,
            hop: dims.hop_length,
            n_mels: dims.n_mels,
            window: (0..n).map(hann).collect(),
            filters: mel_filters(dims),
            fft: RealFftPlanner::new().plan_fft_forward(n),
        }
    }

    /// Mel [n_mels, frames] of a clip, cut or padded with silence to `frames` hops.
    pub fn compute(&self, samples: &[f32], frames: usize) -> Array2<f32> {
        let clip = &samples[..samples.len().min(frames * self.hop)];
        let length = frames * self.hop;
        // A frame reaches n_fft / 2 to both sides; what is mirrored at the end may be sound too.
        let reach = self.n_fft / 2;
        let heard = ((clip.len() + reach).div_ceil(self.hop)).min(frames);
        let mirrored = if clip.len() + reach >= length { frames } else { heard };
        let columns: Vec<Vec<f32>> = (0..mirrored)
            .into_par_iter()
            .map_init(|| self.scratch(), |scratch, frame| self.column(clip, length, frame, scratch))
            .collect();
        let mut mel = Array2::from_elem((self.n_mels, frames), FLOOR.log10());
        for (frame, column) in columns.iter().enumerate() {
            mel.index_axis_mut(Axis(1), frame).iter_mut().zip(column).for_each(|(m, &c)| *m = c);
        }
        let loudest = mel.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        mel.mapv_inplace(|m| (m.max(loudest - RANGE) + 4.0) / 4.0);
        mel
    }

    fn scratch(&self) -> (Vec<f32>, Vec<realfft::num_complex::Complex<f32>>) {
        (self.fft.make_input_vec(), self.fft.make_output_vec())
    }

    /// log10 mel powers of one frame.
    fn column(
        &self,
        clip: &[f32],
        length: usize,
        frame: usize,
        (input, spectrum): &mut (Vec<f32>, Vec<realfft::num_complex::Complex<f32>>),
    ) -> Vec<f32> {
        let start = (frame * self.hop) as isize - (self.n_fft / 2) as isize;
        for (i, (value, weight)) in input.iter_mut().zip(&self.window).enumerate() {
            let at = reflect(start + i as isize, length);
            *value = clip.get(at).map_or(0.0, |sample| sample * weight);
        }
        // The plan made both buffers, so their lengths fit and it cannot fail.
        if self.fft.process(input, spectrum).is_err() {
            return vec![FLOOR.log10(); self.n_mels];
        }
        let power: Vec<f32> = spectrum.iter().map(|bin| bin.norm_sqr()).collect();
        self.filters
            .iter()
            .map(|(first, weights)| {
                let sum: f32 = weights.iter().zip(&power[*first..]).map(|(w, p)| w * p).sum();
                sum.max(FLOOR).log10()
            })
            .collect()
    }
}

/// A position outside a clip of `length`, mirrored at its ends.
fn reflect(at: isize, length: usize) -> usize {
    let last = length as isize - 1;
    let at = at.abs();
    (if at > last { 2 * last - at } else { at }).max(0) as usize
}

/// Slaney's mel scale: linear to 1 kHz, logarithmic above.
fn hz_to_mel(hz: f64) -> f64 {
    if hz < 1000.0 { hz * 3.0 / 200.0 } else { 15.0 + 27.0 * (hz / 1000.0).ln() / 6.4f64.ln() }
}

fn mel_to_hz(mel: f64) -> f64 {
    if mel < 15.0 { mel * 200.0 / 3.0 } else { 1000.0 * ((mel - 15.0) / 27.0 * 6.4f64.ln()).exp() }
}

/// Triangles of equal area between 0 and half the sample rate, without their zeros.
fn mel_filters(dims: &MelDims) -> Vec<(usize, Vec<f32>)> {
    let rate = f64::from(dims.sample_rate);
    let top = hz_to_mel(rate / 2.0);
    let edge = |i: usize| mel_to_hz(top * i as f64 / (dims.n_mels + 1) as f64);
    (0..dims.n_mels)
        .map(|mel| {
            let (low, mid, high) = (edge(mel), edge(mel + 1), edge(mel + 2));
            let weight = |bin: usize| {
                let hz = bin as f64 * rate / dims.n_fft as f64;
                let slope = ((hz - low) / (mid - low)).min((high - hz) / (high - mid));
                (slope.max(0.0) * 2.0 / (high - low)) as f32
            };
            let bins = dims.n_fft / 2 + 1;
            let first = (0..bins).find(|&bin| weight(bin) > 0.0).unwrap_or(0);
            let weights = (first..bins).map(weight).take_while(|&w| w > 0.0).collect();
            (first, weights)
        })
        .collect()
}

/// Audio features of a clip: one every 20 ms and one more, in the original's floating point, which
/// for nine lengths gives one less than n / 320 + 1.
pub fn n_features(dims: &MelDims, n_samples: usize) -> usize {
    let seconds = n_samples as f64 / f64::from(dims.sample_rate);
    (seconds * 1000.0 / dims.feature_ms as f64) as usize + 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::Array1;
    use ndarray_npy::read_npy;

    fn dims() -> MelDims {
        MelDims {
            sample_rate: 16_000,
            n_fft: 400,
            hop_length: 160,
            n_mels: 80,
            max_seconds: 30,
            frames_per_feature: 2,
            feature_ms: 20,
        }
    }

    #[test]
    fn the_mel_is_the_originals() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/mel/");
        let pcm: Array1<f32> = read_npy(format!("{folder}pcm16k.npy")).expect("fixture");
        let expected: Array2<f32> = read_npy(format!("{folder}mel.npy")).expect("fixture");
        let mel = MelSpectrogram::new(&dims()).compute(pcm.as_slice().expect("flat"), 3000);
        assert_eq!(mel.shape(), [80, 3000]);
        let found = mel.slice(ndarray::s![.., ..expected.ncols()]);
        let error = (&found - &expected).mapv(f32::abs).fold(0.0f32, |a, &b| a.max(b));
        assert!(error < 1e-5, "{error}");
    }

    #[test]
    fn frames_that_are_skipped_are_what_would_be_computed() {
        let mel = MelSpectrogram::new(&dims());
        let clip: Vec<f32> = (0..1000).map(|i| (i as f32 * 0.3).sin()).collect();
        let mut padded = clip.clone();
        padded.resize(48_000, 0.0);
        assert_eq!(mel.compute(&clip, 300), mel.compute(&padded, 300));
        let longer: Vec<f32> = (0..50_000).map(|i| (i as f32 * 0.3).sin()).collect();
        assert_eq!(mel.compute(&longer, 300), mel.compute(&longer[..48_000], 300));
    }

    #[test]
    fn features_are_counted_in_the_originals_floating_point() {
        let less = [64320, 64960, 128640, 129920, 256960, 257280, 259520, 259840, 262080];
        for n in (0..=480_000).step_by(320).chain([1, 319, 321, 479_999]) {
            let expected = n / 320 + usize::from(!less.contains(&n));
            assert_eq!(n_features(&dims(), n), expected, "{n} samples");
        }
    }
}
