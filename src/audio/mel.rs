//! The log-mel spectrogram the encoder was trained on, as Whisper computes it.
//!
//! Sizes come from the manifest; the recipe (periodic Hann window, reflected edges, slaney mel
//! filters, 8 decades below the loudest) is Whisper's and librosa's. A clip is padded to the full
//! window, yet only frames that can see a sample are computed: all others are silence, one value.
//! In f64 throughout, since it costs nothing next to the encoder and no finite sample overflows it.

use std::f64::consts::TAU;
use std::sync::Arc;

use ndarray::Array2;
use rayon::prelude::*;
use realfft::{RealFftPlanner, RealToComplex, num_complex::Complex};

use crate::model::manifest::MelDims;

/// log10 of the smallest power told apart from silence (1e-10).
const SILENCE: f64 = -10.0;
/// Decades below the loudest point of the clip that are kept.
const RANGE: f64 = 8.0;

/// Audio features of a clip of `n_samples` at the model's rate, unbounded by its window.
pub fn n_features(dims: &MelDims, n_samples: usize) -> usize {
    // The original's floating point, in its order: for nine lengths below 30 s it is one less than
    // whole-number arithmetic gives, and the model was trained so.
    let seconds = n_samples as f64 / f64::from(dims.sample_rate);
    (seconds * 1000.0 / dims.feature_ms as f64) as usize + 1
}

/// Everything about the spectrogram that does not depend on the clip.
pub struct MelSpectrogram {
    fft: Arc<dyn RealToComplex<f64>>,
    /// [n_fft].
    window: Vec<f64>,
    /// [n_mels].
    filters: Vec<Filter>,
    hop_length: usize,
}

impl MelSpectrogram {
    /// Plans the FFT and computes window and filters.
    pub fn new(dims: &MelDims) -> MelSpectrogram {
        MelSpectrogram {
            fft: RealFftPlanner::new().plan_fft_forward(dims.n_fft),
            window: hann_window(dims.n_fft),
            filters: mel_filters(dims),
            hop_length: dims.hop_length,
        }
    }

    /// Mel [n_mels, frames] of samples at the model's rate: the clip is padded with silence, or
    /// cut, to `frames`.
    pub fn compute(&self, samples: &[f32], frames: usize) -> Array2<f32> {
        let log_mel = self.log_mel(samples, frames);
        let loudest = log_mel.iter().copied().fold(SILENCE, f64::max);
        let scale = |x: f64| ((x.max(loudest - RANGE) + 4.0) / 4.0) as f32;
        let n_mels = self.filters.len();
        let mut mel = Array2::from_elem((n_mels, frames), scale(SILENCE));
        for (mut column, frame) in mel.columns_mut().into_iter().zip(log_mel.chunks(n_mels)) {
            column
                .iter_mut()
                .zip(frame)
                .for_each(|(to, &from)| *to = scale(from));
        }
        mel
    }

    /// log10 of the mel power of the frames that can see a sample, [heard frames, n_mels].
    fn log_mel(&self, samples: &[f32], frames: usize) -> Vec<f64> {
        let padded = frames * self.hop_length;
        let samples = &samples[..samples.len().min(padded)];
        // Frame f is centred on sample f * hop_length.
        let heard = (samples.len() + self.window.len() / 2)
            .div_ceil(self.hop_length)
            .min(frames);
        let mut log_mel = vec![SILENCE; heard * self.filters.len()];
        log_mel
            .par_chunks_mut(self.filters.len())
            .enumerate()
            .for_each_init(
                || Scratch::new(&*self.fft),
                |scratch, (f, out)| {
                    let power = self.power(samples, padded, f * self.hop_length, scratch);
                    for (mel, filter) in out.iter_mut().zip(&self.filters) {
                        *mel = filter.apply(power).log10().max(SILENCE);
                    }
                },
            );
        log_mel
    }

    /// Power spectrum [n_fft / 2 + 1] around a sample of the clip padded to `padded` samples.
    fn power<'a>(
        &self,
        samples: &[f32],
        padded: usize,
        centre: usize,
        scratch: &'a mut Scratch,
    ) -> &'a [f64] {
        let half = self.window.len() / 2;
        for (i, (to, weight)) in scratch.frame.iter_mut().zip(&self.window).enumerate() {
            let at = reflect(centre + i, half, padded);
            *to = samples.get(at).map_or(0.0, |&x| f64::from(x) * weight);
        }
        let Scratch {
            frame,
            spectrum,
            work,
            power,
        } = scratch;
        let done = self.fft.process_with_scratch(frame, spectrum, work);
        debug_assert!(done.is_ok(), "the plan itself made these buffers");
        power
            .iter_mut()
            .zip(spectrum)
            .for_each(|(to, x)| *to = x.norm_sqr());
        power
    }
}

/// One thread's buffers.
struct Scratch {
    frame: Vec<f64>,
    spectrum: Vec<Complex<f64>>,
    work: Vec<Complex<f64>>,
    power: Vec<f64>,
}

impl Scratch {
    fn new(fft: &dyn RealToComplex<f64>) -> Scratch {
        let spectrum = fft.make_output_vec();
        let power = vec![0.0; spectrum.len()];
        Scratch {
            frame: fft.make_input_vec(),
            spectrum,
            work: fft.make_scratch_vec(),
            power,
        }
    }
}

/// The sample seen at `position - half` of a clip of `length` whose edges are mirrors: the sample
/// at the edge itself is not repeated.
fn reflect(position: usize, half: usize, length: usize) -> usize {
    let at = position.abs_diff(half);
    if at < length {
        at
    } else {
        (2 * length).saturating_sub(at + 2)
    }
}

/// The periodic Hann window: of n + 1 symmetric points, the last is dropped.
fn hann_window(n: usize) -> Vec<f64> {
    (0..n)
        .map(|i| 0.5 - 0.5 * (TAU * i as f64 / n as f64).cos())
        .collect()
}

/// A mel band: the weights of a few neighbouring frequencies, all others being 0.
struct Filter {
    first: usize,
    weights: Vec<f64>,
}

impl Filter {
    /// A triangle from `low` over `centre` to `high` Hz, of area 1 (slaney's norm).
    fn triangle([low, centre, high]: [f64; 3], frequencies: &[f64]) -> Filter {
        let norm = 2.0 / (high - low);
        let weight = |f: f64| ((f - low) / (centre - low)).min((high - f) / (high - centre)) * norm;
        let first = frequencies.partition_point(|&f| f <= low);
        let end = frequencies.partition_point(|&f| f < high).max(first);
        Filter {
            first,
            weights: frequencies[first..end].iter().map(|&f| weight(f)).collect(),
        }
    }

    fn apply(&self, power: &[f64]) -> f64 {
        power[self.first..]
            .iter()
            .zip(&self.weights)
            .map(|(power, weight)| power * weight)
            .sum()
    }
}

/// n_mels bands, equally wide in mels, from 0 Hz to half the sample rate.
fn mel_filters(dims: &MelDims) -> Vec<Filter> {
    let highest = f64::from(dims.sample_rate) / 2.0;
    let bin = f64::from(dims.sample_rate) / dims.n_fft as f64;
    let frequencies: Vec<f64> = (0..=dims.n_fft / 2).map(|k| k as f64 * bin).collect();
    let step = mel_of_hz(highest) / (dims.n_mels + 1) as f64;
    let edge = |i: usize| hz_of_mel(i as f64 * step);
    (0..dims.n_mels)
        .map(|i| Filter::triangle([edge(i), edge(i + 1), edge(i + 2)], &frequencies))
        .collect()
}

/// Slaney's scale is linear below this frequency and logarithmic above it.
const BREAK_HZ: f64 = 1000.0;
const HZ_PER_MEL: f64 = 200.0 / 3.0;
const BREAK_MEL: f64 = BREAK_HZ / HZ_PER_MEL;

/// Logarithm of the ratio of two frequencies a mel apart, above the break: 27 mels make 6.4.
fn log_step() -> f64 {
    6.4f64.ln() / 27.0
}

fn mel_of_hz(hz: f64) -> f64 {
    if hz < BREAK_HZ {
        return hz / HZ_PER_MEL;
    }
    BREAK_MEL + (hz / BREAK_HZ).ln() / log_step()
}

fn hz_of_mel(mel: f64) -> f64 {
    if mel < BREAK_MEL {
        return mel * HZ_PER_MEL;
    }
    BREAK_HZ * (log_step() * (mel - BREAK_MEL)).exp()
}

#[cfg(test)]
pub(crate) mod tests {
    use ndarray::{Array1, s};

    use super::*;

    /// What the original computed (tests/fixtures/mel/make.py).
    fn golden() -> (Array1<f32>, Array2<f32>) {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/mel");
        let pcm = ndarray_npy::read_npy(format!("{folder}/pcm16k.npy")).unwrap();
        let mel = ndarray_npy::read_npy(format!("{folder}/mel.npy")).unwrap();
        (pcm, mel)
    }

    /// Of the published models.
    pub(crate) fn whisper() -> MelDims {
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

    fn worst(a: &Array2<f32>, b: &Array2<f32>) -> f32 {
        assert_eq!(a.dim(), b.dim());
        a.iter()
            .zip(b)
            .map(|(a, b)| (a - b).abs())
            .fold(0.0, f32::max)
    }

    /// The same by the definition: the whole padded clip, every frame, no shortcut.
    fn by_definition(samples: &[f32], frames: usize) -> Array2<f32> {
        let spectrogram = MelSpectrogram::new(&whisper());
        let mut padded = samples.to_vec();
        padded.resize(frames * 160, 0.0);
        spectrogram.compute(&padded, frames)
    }

    #[test]
    fn a_question_has_the_originals_mel() {
        let (pcm, expected) = golden();
        let mel = MelSpectrogram::new(&whisper()).compute(pcm.as_slice().unwrap(), 3000);
        assert_eq!(mel.dim(), (80, 3000));
        let difference = worst(&mel.slice(s![.., ..250]).to_owned(), &expected);
        assert!(difference < 1e-5, "off by {difference}");
        assert!(mel.slice(s![.., 250..]).iter().all(|&x| x == mel[[0, 249]]));
    }

    #[test]
    fn frames_that_see_only_padding_need_not_be_computed() {
        let spectrogram = MelSpectrogram::new(&whisper());
        for length in [
            0, 1, 39, 40, 41, 159, 160, 200, 5_000, 15_799, 15_800, 15_801, 16_000,
        ] {
            let samples: Vec<f32> = (0..length).map(|i| (i as f32 * 0.7).sin() * 0.3).collect();
            let mel = spectrogram.compute(&samples, 100);
            assert_eq!(mel, by_definition(&samples, 100), "{length} samples");
        }
    }

    #[test]
    fn what_lies_past_the_window_is_cut() {
        let samples: Vec<f32> = (0..2_000).map(|i| (i as f32 * 0.7).sin()).collect();
        let mel = MelSpectrogram::new(&whisper()).compute(&samples, 10);
        assert_eq!(mel, by_definition(&samples[..1_600], 10));
    }

    #[test]
    fn silence_and_the_loudest_floats_are_finite() {
        let spectrogram = MelSpectrogram::new(&whisper());
        assert!(
            spectrogram
                .compute(&[0.0; 800], 10)
                .iter()
                .all(|&x| x == -1.5)
        );
        assert!(
            spectrogram
                .compute(&[f32::MAX; 800], 10)
                .iter()
                .all(|x| x.is_finite())
        );
        assert_eq!(spectrogram.compute(&[0.5; 800], 0).dim(), (80, 0));
    }

    #[test]
    fn edges_are_mirrors() {
        let at = |position| reflect(position, 3, 10);
        assert_eq!([at(0), at(2), at(3), at(12)], [3, 1, 0, 9]);
        assert_eq!([at(13), at(14)], [8, 7]);
    }

    #[test]
    fn the_lowest_filter_is_librosas() {
        // librosa.filters.mel(sr=16000, n_fft=400, n_mels=80)[0]: a single weight.
        let filters = mel_filters(&whisper());
        assert_eq!((filters[0].first, filters[0].weights.len()), (1, 1));
        assert!((filters[0].weights[0] - 0.024_862_6).abs() < 1e-7);
    }

    #[test]
    fn features_are_counted_in_the_originals_floating_point() {
        let one_less = [
            64_320, 64_960, 128_640, 129_920, 256_960, 257_280, 259_520, 259_840, 262_080,
        ];
        let differing: Vec<usize> = (0..=480_000)
            .filter(|&n| n_features(&whisper(), n) != n / 320 + 1)
            .collect();
        assert_eq!(differing, one_less);
        assert!(
            one_less
                .iter()
                .all(|&n| n_features(&whisper(), n) == n / 320)
        );
        assert_eq!(n_features(&whisper(), 720_000), 2_251);
    }
}
