/// One channel of sound.
#[derive(Debug, Clone)]
pub struct Pcm {
    pub(super) samples: Vec<f32>,
    pub(super) sample_rate: u32,
}

impl Pcm {
    pub fn new(samples: Vec<f32>, sample_rate: u32) -> Result<Pcm, super::AudioError> {
        Ok(Pcm {
            samples,
            sample_rate,
        })
    }
    pub fn samples(&self) -> &[f32] {
        &self.samples
    }
    pub fn sample_rate(&self) -> u32 {
        self.sample_rate
    }
    pub fn seconds(&self) -> f64 {
        self.samples.len() as f64 / f64::from(self.sample_rate)
    }
    pub fn first(mut self, seconds: f64) -> Pcm {
        let samples = (seconds * f64::from(self.sample_rate)) as usize;
        self.samples.truncate(samples.max(1));
        self
    }
}

pub fn seconds_apart(seconds: f64, _limit: f64) -> String {
    format!("{seconds:.2}")
}
