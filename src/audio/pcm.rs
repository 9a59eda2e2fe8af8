//! One channel of sound, checked once, where it is made.

use std::fmt;

use super::AudioError;

/// Seconds of sound.
pub type Second = f64;

/// Hz; below it speech is gone.
pub const LOWEST_RATE: u32 = 1_000;
/// Hz; the highest rate in use. Bounds the resampler's memory, which grows with odd rates.
pub const HIGHEST_RATE: u32 = 384_000;
/// Samples of all channels together: ten minutes of stereo at 48 kHz, 230 MB. A model hears half a
/// minute, so nothing longer is a question.
pub const MOST_SAMPLES: usize = 600 * 2 * 48_000;
/// The largest sample. Full scale is 1; files of floats scaled to 2^31 exist, and the squares in a
/// spectrogram of this still fit f32.
pub const LOUDEST: f32 = 1e12;

/// One channel of sound: at least one sample, all of them finite, at a rate that can be heard.
#[derive(Clone, PartialEq)]
pub struct Pcm {
    /// Nominally within -1 and 1.
    pub(super) samples: Vec<f32>,
    /// Hz.
    pub(super) sample_rate: u32,
}

impl Pcm {
    /// Checks samples, nominally within -1 and 1, and their rate in Hz: there are samples, at most
    /// [`MOST_SAMPLES`], none is beyond [`LOUDEST`] or no number, and the rate is between
    /// [`LOWEST_RATE`] and [`HIGHEST_RATE`].
    pub fn new(samples: Vec<f32>, sample_rate: u32) -> Result<Pcm, AudioError> {
        Pcm::named(samples, sample_rate, "the sound")
    }

    /// [`Pcm::new`] of the sound of a file.
    pub(super) fn named(
        samples: Vec<f32>,
        sample_rate: u32,
        name: &str,
    ) -> Result<Pcm, AudioError> {
        let name = || name.to_string();
        if samples.is_empty() {
            return Err(AudioError::NoSamples { name: name() });
        }
        check_rate(sample_rate).map_err(|rate| AudioError::SampleRate { name: name(), rate })?;
        if samples.len() > MOST_SAMPLES {
            let seconds = |n: usize| n as Second / Second::from(sample_rate);
            return Err(AudioError::TooLong {
                name: name(),
                lasts: super::Lasts::Exactly(seconds(samples.len())),
                limit: seconds(MOST_SAMPLES),
            });
        }
        if let Some(sample) = samples.iter().position(|&x| !can_be_heard(x)) {
            return Err(AudioError::NotFinite {
                name: name(),
                sample,
                value: samples[sample],
            });
        }
        Ok(Pcm {
            samples,
            sample_rate,
        })
    }

    /// Nominally within -1 and 1; at least one.
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }

    /// Hz.
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }

    /// How long it lasts.
    pub fn seconds(&self) -> Second {
        self.samples.len() as Second / Second::from(self.sample_rate)
    }

    /// Its beginning: at most this long, at least one sample.
    pub fn first(mut self, seconds: Second) -> Pcm {
        let samples = (seconds * Second::from(self.sample_rate)) as usize;
        self.samples.truncate(samples.max(1));
        self
    }
}

/// Without the samples, which would fill the screen.
impl fmt::Debug for Pcm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (samples, rate) = (self.samples.len(), self.sample_rate);
        write!(f, "Pcm({samples} samples at {rate} Hz)")
    }
}

/// NaN cannot: no comparison with it holds.
pub(super) fn can_be_heard(sample: f32) -> bool {
    sample.abs() <= LOUDEST
}

/// The rate, or the rate as an error.
pub(super) fn check_rate(rate: u32) -> Result<u32, u32> {
    if (LOWEST_RATE..=HIGHEST_RATE).contains(&rate) {
        return Ok(rate);
    }
    Err(rate)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_can_be_heard_becomes_sound() {
        let refusal = |samples: Vec<f32>, rate| Pcm::new(samples, rate).unwrap_err().to_string();
        assert!(refusal(vec![], 16_000).starts_with("the sound holds no samples"));
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY, f32::MAX] {
            assert!(refusal(vec![0.0, bad], 16_000).starts_with("sample 1 of the sound is"));
        }
        for rate in [0, 999, 384_001, u32::MAX] {
            assert!(refusal(vec![0.0], rate).contains(&format!("{rate} Hz")));
        }
        let long = refusal(vec![0.0; MOST_SAMPLES + 1], 48_000);
        assert!(long.contains("lasts 1200.00002 s"), "{long}");
        for rate in [1_000, 384_000] {
            assert!(Pcm::new(vec![LOUDEST, -LOUDEST], rate).is_ok());
        }
    }

    #[test]
    fn a_sound_tells_its_length_and_not_its_samples() {
        let pcm = Pcm::new(vec![0.25; 24_000], 16_000).unwrap();
        assert_eq!(pcm.seconds(), 1.5);
        assert_eq!(format!("{pcm:?}"), "Pcm(24000 samples at 16000 Hz)");
        assert_eq!(pcm.clone().first(1.0).samples().len(), 16_000);
        assert_eq!(pcm.clone().first(9.0).samples().len(), 24_000);
        for nothing in [0.0, -1.0, f64::NAN] {
            assert_eq!(pcm.clone().first(nothing).samples().len(), 1);
        }
    }
}
