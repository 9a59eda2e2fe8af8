//! How ids are chosen, as OpenAI's requests say it.

use mini_omni::{Noise, Options, SamplingConfig, Task};
use serde::Deserialize;

use super::refusal::Refusal;
use super::settings::Settings;

/// The fields of a request that choose ids. Without a temperature answers are greedy.
#[derive(Debug, Default, Deserialize)]
pub struct Sampling {
    temperature: Option<f64>,
    top_p: Option<f64>,
    seed: Option<i64>,
    max_tokens: Option<i64>,
    max_completion_tokens: Option<i64>,
}

impl Sampling {
    /// Only a temperature.
    pub fn warm(temperature: f64) -> Sampling {
        Sampling {
            temperature: Some(temperature),
            ..Sampling::default()
        }
    }

    /// How a question is answered.
    pub fn options(&self, task: Task, settings: &Settings) -> Result<Options, Refusal> {
        let mut options = Options::for_task(task);
        options.window = settings.window;
        options.max_steps = self.steps()?;
        options.sampling = self.config()?;
        options.noise = Noise::Seeded(options.sampling.seed);
        Ok(options)
    }

    fn config(&self) -> Result<SamplingConfig, Refusal> {
        let temperature = self.temperature.unwrap_or(0.0);
        if !(0.0..=2.0).contains(&temperature) {
            return Err(Refusal::bad("temperature", "temperature is from 0 to 2"));
        }
        let top_p = self.top_p.unwrap_or(1.0);
        if !(0.0..=1.0).contains(&top_p) {
            return Err(Refusal::bad("top_p", "top_p is from 0 to 1"));
        }
        Ok(SamplingConfig {
            temperature: temperature as f32,
            top_k: 0,
            top_p: top_p as f32,
            seed: self.seed.unwrap_or(0) as u64,
        })
    }

    fn steps(&self) -> Result<Option<usize>, Refusal> {
        match self.max_completion_tokens {
            Some(_) => steps("max_completion_tokens", self.max_completion_tokens),
            None => steps("max_tokens", self.max_tokens),
        }
    }
}

/// Most steps of an answer, as the field `param` says it. A step writes a text id and a frame of
/// sound, so steps are what is limited.
pub fn steps(param: &'static str, most: Option<i64>) -> Result<Option<usize>, Refusal> {
    match most.map(usize::try_from) {
        None => Ok(None),
        Some(Ok(most)) if most > 0 => Ok(Some(most)),
        Some(_) => Err(Refusal::bad(param, format!("{param} is at least 1"))),
    }
}
