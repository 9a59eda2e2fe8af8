//! How the question is to be answered: what was given, checked and put together.

use anyhow::{Result, bail};
use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use mini_omni::{Noise, Options, SamplingConfig, Source, Task};

use super::Ask;

#[derive(Clone, Copy, PartialEq, ValueEnum)]
pub enum NoiseArg {
    /// As the model was trained with; the same for the same seed
    Seeded,
    /// None
    Zero,
}

pub fn task_parser() -> impl TypedValueParser<Value = Task> {
    PossibleValuesParser::new(Task::ALL.map(|task| task.name()))
        .map(|name| Task::by_name(&name).expect("only names of tasks are possible"))
}

impl Ask {
    pub fn options(&self) -> Result<Options> {
        let task = self.checked_task()?;
        let seed = self.seed.unwrap_or(0);
        let mut options = Options::for_task(task);
        options.max_steps = self.max_steps.map(|n| n as usize);
        options.sampling = self.sampling(seed)?;
        options.noise = match self.noise {
            Some(NoiseArg::Zero) => Noise::Zero,
            _ => Noise::Seeded(seed),
        };
        options.window = self.encoder_window.map(Into::into);
        options.special_tokens = self.special_tokens;
        options.trim = (self.trim || self.no_trim).then_some(self.trim);
        options.answer_anything = self.answer_anything;
        self.check_seconds()?;
        Ok(options)
    }

    pub fn source(&self) -> Source {
        match self.input {
            Some(_) => Source::Audio,
            None => Source::Text,
        }
    }

    fn checked_task(&self) -> Result<Task> {
        let source = self.source();
        let task = self.task.unwrap_or_else(|| Task::default_for(source));
        let name = task.name();
        match task.source() {
            answers if answers == source => {}
            Source::Text => {
                bail!("task {name} answers a written question; give --text instead of a file")
            }
            Source::Audio => {
                bail!("task {name} answers a spoken question; give an audio file instead of a text")
            }
        }
        if self.out.is_some() && !task.speaks() {
            bail!("task {name} does not speak, so there is no sound for --out; leave --out away");
        }
        Ok(task)
    }

    fn sampling(&self, seed: u64) -> Result<SamplingConfig> {
        let temperature = self.temperature.unwrap_or(0.0);
        if !(temperature >= 0.0 && temperature.is_finite()) {
            bail!("--temperature {temperature} makes no sense; give 0 or more");
        }
        let top_p = self.top_p.unwrap_or(1.0);
        if !(top_p > 0.0 && top_p <= 1.0) {
            bail!("--top-p {top_p} makes no sense; give more than 0 and at most 1");
        }
        Ok(SamplingConfig {
            temperature,
            top_k: self.top_k.unwrap_or(0),
            top_p,
            seed,
        })
    }

    fn check_seconds(&self) -> Result<()> {
        match self.max_seconds {
            Some(seconds) if seconds.is_nan() || seconds <= 0.0 => {
                bail!("--max-seconds {seconds} leaves nothing to hear; give more than 0")
            }
            _ => Ok(()),
        }
    }
}
