//! Where and how to compute: options that every command shares.

use anyhow::Result;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use mini_omni::{EncoderWindow, Kernels, Manifest, Provider, Runtime};

use super::terminal::say;

/// Threads a core beyond which they only wait for each other.
const MOST_THREADS_A_CORE: usize = 4;
/// Always allowed, so that a script written for a larger machine runs on a small one.
const ALWAYS_ALLOWED: usize = 64;

#[derive(Args)]
pub struct Compute {
    /// Threads of one operator; 0 means all cores. At most 64, or four a core where that is more
    #[arg(long, default_value_t = 0, value_name = "N", value_parser = threads, allow_negative_numbers = true)]
    threads: usize,
    /// What computes. A provider that is not there is an error
    #[arg(long, value_enum, default_value_t = ProviderArg::Cpu)]
    provider: ProviderArg,
    /// Kernels for the processor's instructions, or ONNX Runtime's own in their place; the fastest
    /// where not given, which `inspect` names. Those that the processor lacks are an error
    #[arg(long, value_name = "NAME", value_parser = kernels_parser())]
    kernels: Option<Kernels>,
    /// Record the steps of each shape as CUDA graphs and play them again; needs --provider cuda and a
    /// model of the cuda profile
    #[arg(long)]
    cuda_graphs: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum ProviderArg {
    /// The best provider there is; a note says which
    Auto,
    /// The processor
    Cpu,
    /// An NVIDIA GPU
    Cuda,
    /// The GPU and neural engine of a Mac
    Coreml,
}

/// How much the encoder hears.
#[derive(Clone, Copy, ValueEnum)]
pub enum WindowArg {
    /// Its whole window, as published
    Full,
    /// The clip, and of the silence behind it as much as the model's manifest says is needed
    Merged,
    /// The clip alone: several times faster, with slightly other features
    Short,
}

impl From<WindowArg> for EncoderWindow {
    fn from(arg: WindowArg) -> EncoderWindow {
        match arg {
            WindowArg::Full => EncoderWindow::Full,
            WindowArg::Merged => EncoderWindow::Merged,
            WindowArg::Short => EncoderWindow::Short,
        }
    }
}

/// The window to compute in: of a model that has a plan for it the merged one if none was asked for.
pub fn window(asked: Option<WindowArg>, manifest: &Manifest) -> Result<EncoderWindow> {
    Ok(EncoderWindow::of(asked.map(Into::into), manifest)?)
}

impl Compute {
    pub fn runtime(&self) -> Result<Runtime> {
        let asked = match self.provider {
            ProviderArg::Auto => Provider::Auto,
            ProviderArg::Cpu => Provider::Cpu,
            ProviderArg::Cuda => Provider::Cuda,
            ProviderArg::Coreml => Provider::CoreMl,
        };
        let mut runtime = Runtime::load(asked, self.threads)?;
        if let Some(kernels) = self.kernels {
            runtime = runtime.with_kernels(kernels)?;
        }
        if self.cuda_graphs {
            runtime = runtime.with_recording()?;
        }
        if asked == Provider::Auto {
            say(format_args!("provider: {}", runtime.provider().name()));
        }
        Ok(runtime)
    }
}

fn kernels_parser() -> impl TypedValueParser<Value = Kernels> {
    let names = Kernels::ALL.map(Kernels::name);
    PossibleValuesParser::new(names).try_map(|name| {
        let found = Kernels::ALL
            .into_iter()
            .find(|kernels| kernels.name() == name);
        found.ok_or("no kernels of that name")
    })
}

fn threads(given: &str) -> Result<usize, String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let most = ALWAYS_ALLOWED.max(MOST_THREADS_A_CORE * cores);
    match given.parse() {
        Ok(n) if n <= most => Ok(n),
        _ => Err(format!(
            "give 0 for all {cores} cores of this machine, or up to {most} threads"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_threads_are_taken_as_a_machine_could_use() {
        for n in ["0", "1", "64"] {
            assert!(threads(n).is_ok(), "{n}");
        }
        for n in ["-1", "1000000", "99999999999999999999999", "many", ""] {
            assert!(threads(n).is_err(), "{n}");
        }
    }
}
