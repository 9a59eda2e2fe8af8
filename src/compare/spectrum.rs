//! Sound as a picture of its frequencies, and how far two such pictures are apart.
//!
//! Two answers that say the same with other samples have a poor signal-to-noise ratio and sound alike:
//! the log-spectral distance tells what is heard of the difference.

use std::f32::consts::TAU;

use ndarray::Array2;
use realfft::RealFftPlanner;

use crate::decoding::sampling::all_finite;

/// Samples of a frame: 43 ms at 24 kHz.
const FRAME: usize = 1024;
/// Samples between two frames.
const HOP: usize = 256;
/// Decibels below which all is silence: less than a 16-bit sample can hold.
pub const FLOOR_DB: f32 = -100.0;

/// Power in decibels, 0 for a full-scale sine, of each frame and frequency [frames, FRAME / 2 + 1];
/// at least [`FLOOR_DB`]. A sound shorter than a frame is padded with silence.
pub fn spectrogram(samples: &[f32]) -> Array2<f32> {
    let bins = FRAME / 2 + 1;
    let frames = samples.len().saturating_sub(FRAME).div_ceil(HOP) + 1;
    let fft = RealFftPlanner::<f32>::new().plan_fft_forward(FRAME);
    let (mut frame, mut spectrum) = (fft.make_input_vec(), fft.make_output_vec());
    let mut picture = Array2::from_elem((frames, bins), FLOOR_DB);
    // Hann: its sum is FRAME / 2, so a sine of amplitude 1 comes out as FRAME / 4.
    let full = (FRAME / 4) as f32;
    for (start, mut row) in (0..).step_by(HOP).zip(picture.rows_mut()) {
        for (i, to) in frame.iter_mut().enumerate() {
            let weight = 0.5 - 0.5 * (TAU * i as f32 / FRAME as f32).cos();
            *to = samples.get(start + i).map_or(0.0, |x| x * weight);
        }
        let done = fft.process(&mut frame, &mut spectrum);
        debug_assert!(done.is_ok(), "the plan itself made these buffers");
        for (to, x) in row.iter_mut().zip(&spectrum) {
            *to = (20.0 * (x.norm() / full).log10()).max(FLOOR_DB);
        }
    }
    picture
}

/// Log-spectral distance of two sounds, decibels: the root mean square over frequencies of the
/// difference of their spectrograms, averaged over the frames that both have. 0 of equal sounds; no
/// number where a sample is none, which the floor of a spectrogram would hide.
pub fn log_spectral_distance_db(reference: &[f32], candidate: &[f32]) -> f64 {
    if !all_finite(reference) || !all_finite(candidate) {
        return f64::NAN;
    }
    if reference == candidate {
        return 0.0;
    }
    let (a, b) = (spectrogram(reference), spectrogram(candidate));
    let frames = a.nrows().min(b.nrows());
    let distance = |(a, b): (ndarray::ArrayView1<f32>, ndarray::ArrayView1<f32>)| {
        let squares = a.iter().zip(b).map(|(a, b)| f64::from(a - b).powi(2));
        (squares.sum::<f64>() / a.len() as f64).sqrt()
    };
    let pairs = a.rows().into_iter().zip(b.rows());
    pairs.map(distance).sum::<f64>() / frames as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sine(hz: f32, amplitude: f32) -> Vec<f32> {
        let sample = |i: usize| amplitude * (TAU * hz * i as f32 / 24_000.0).sin();
        (0..4096).map(sample).collect()
    }

    #[test]
    fn a_full_sine_is_0_db_at_its_frequency() {
        let picture = spectrogram(&sine(3000.0, 1.0));
        let bin = 3000 * FRAME / 24_000;
        assert!(picture[[3, bin]].abs() < 0.1, "{}", picture[[3, bin]]);
        assert!(picture[[3, bin + 100]] < -60.0);
        assert_eq!(picture.nrows(), 13);
    }

    #[test]
    fn ten_times_less_is_20_db() {
        let noise = |gain: f32| -> Vec<f32> {
            let draw = |i: u32| (i.wrapping_mul(2_654_435_761) >> 8) as f32 / (1 << 23) as f32;
            (0..8192).map(|i| gain * (draw(i) - 1.0)).collect()
        };
        let distance = log_spectral_distance_db(&noise(1.0), &noise(0.1));
        assert!((distance - 20.0).abs() < 0.1, "{distance}");
        assert_eq!(log_spectral_distance_db(&noise(1.0), &noise(1.0)), 0.0);
        assert!(log_spectral_distance_db(&[f32::NAN; 9], &[f32::NAN; 9]).is_nan());
    }

    #[test]
    fn silence_and_too_little_sound_have_a_picture() {
        assert!(spectrogram(&[]).iter().all(|&db| db == FLOOR_DB));
        assert_eq!(spectrogram(&[0.5; 10]).nrows(), 1);
        assert!(log_spectral_distance_db(&[], &sine(440.0, 1.0)) > 0.0);
    }
}
