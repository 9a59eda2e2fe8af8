//! Stand-in until the branch `ears` brings the streaming resampler.

use super::AudioError;

pub(crate) struct Resampler {
    step: f64,
    at: f64,
    last: f32,
}

impl Resampler {
    pub fn new(from: u32, to: u32) -> Result<Resampler, AudioError> {
        Ok(Resampler { step: f64::from(from) / f64::from(to), at: 1.0, last: 0.0 })
    }

    pub fn push(&mut self, samples: &[f32]) -> Result<Vec<f32>, AudioError> {
        let mut out = Vec::new();
        for &sample in samples {
            while self.at <= 1.0 {
                let share = self.at as f32;
                out.push(self.last * (1.0 - share) + sample * share);
                self.at += self.step;
            }
            self.at -= 1.0;
            self.last = sample;
        }
        Ok(out)
    }
}
