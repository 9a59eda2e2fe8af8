//! ONNX Runtime, loaded once a process, and the provider that computes.
//!
//! The library is a shared one, so that one binary serves a CPU box, a CUDA server and a Mac; `library`
//! finds it. A provider that was asked for and is not there is an error, never a silent fall-back.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use ort::environment::Environment;
use ort::ep::ExecutionProviderDispatch;
#[cfg(feature = "cuda")]
use ort::ep::cuda::AttentionBackend;

use super::library;
use super::operators::Kernels;
use super::place::{Crossed, Place, Where};
use crate::error::{Error, ErrorKind, Result};

/// What computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Provider {
    /// CUDA, else CoreML, else CPU; says which.
    Auto,
    /// The processor; always there.
    Cpu,
    /// An NVIDIA GPU.
    Cuda,
    /// A Mac's GPU and neural engine.
    CoreMl,
}

impl Provider {
    /// As on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Provider::Auto => "auto",
            Provider::Cpu => "cpu",
            Provider::Cuda => "cuda",
            Provider::CoreMl => "coreml",
        }
    }
}

/// ONNX Runtime, loaded, with the provider and the thread count every session gets.
#[derive(Clone)]
pub struct Runtime {
    pub(crate) environment: Environment,
    library: PathBuf,
    /// Never `Auto`: what was found.
    provider: Provider,
    kernels: Kernels,
    threads: usize,
    /// Whether host memory is treated as a device's.
    apart: bool,
    records: bool,
    /// What the sessions' memory and the host gave each other.
    crossed: Arc<Crossed>,
}

impl Runtime {
    /// The library file.
    pub fn library(&self) -> &Path {
        &self.library
    }

    /// What computes; never `Auto`, but what was found.
    pub fn provider(&self) -> Provider {
        self.provider
    }

    /// What computes our own operators. On a GPU it is ONNX Runtime: our kernels would pull their
    /// values off the device and back.
    pub fn kernels(&self) -> Kernels {
        match self.provider {
            Provider::Cpu => self.kernels,
            _ => Kernels::OnnxRuntime,
        }
    }

    /// Threads of one operator.
    pub fn threads(&self) -> usize {
        self.threads
    }

    /// Whether decoder and codec run one after the other, each on all cores. Two cores have none to
    /// spare for a third busy thread: side by side an answer takes as long, but its first sound comes
    /// a tenth later and a step takes twice the time (measured at full size in int4).
    pub(crate) fn alternates(&self) -> bool {
        self.threads <= 2
    }

    /// Loads the library and settles the provider; a second call in a process finds both ready.
    /// `threads` 0 means all cores.
    pub fn load(provider: Provider, threads: usize) -> Result<Runtime> {
        let (environment, library) = environment()?;
        let provider = settle(provider, &library)?;
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        Ok(Runtime {
            environment,
            library,
            provider,
            kernels: Kernels::best(),
            threads,
            apart: false,
            records: false,
            crossed: Arc::default(),
        })
    }

    /// The same with another provider.
    pub fn with_provider(&self, provider: Provider) -> Result<Runtime> {
        let provider = settle(provider, &self.library)?;
        Ok(Runtime {
            provider,
            ..self.clone()
        })
    }

    /// The same with other kernels on the processor than the best that it has; an error where it lacks
    /// their instructions.
    pub fn with_kernels(&self, kernels: Kernels) -> Result<Runtime> {
        if !kernels.is_here() {
            let here = Kernels::ALL.into_iter().filter(|kernels| kernels.is_here());
            let here: Vec<_> = here.map(Kernels::name).collect();
            let sentence = format!(
                "this processor lacks instructions of the {} kernels; here are {}",
                kernels.name(),
                here.join(", ")
            );
            return Err(Error::new(ErrorKind::Kernels, sentence));
        }
        Ok(Runtime {
            kernels,
            ..self.clone()
        })
    }

    /// The same with the steps of each shape recorded as a CUDA graph and played again: the processor
    /// starts a step in one call in place of hundreds. Needs CUDA and a model exported for it.
    pub fn with_recording(&self) -> Result<Runtime> {
        if self.provider != Provider::Cuda {
            let sentence = format!(
                "CUDA graphs need the cuda provider; {} computes here",
                self.provider.name()
            );
            return Err(Error::new(ErrorKind::Provider, sentence));
        }
        Ok(Runtime {
            records: true,
            ..self.clone()
        })
    }

    /// The same with the host's memory treated as a device's, to test what a device does.
    pub(crate) fn apart(&self) -> Runtime {
        Runtime {
            apart: true,
            crossed: Arc::default(),
            ..self.clone()
        }
    }

    /// What the memory of all its sessions and the host gave each other.
    pub(crate) fn crossed(&self) -> &Crossed {
        &self.crossed
    }

    /// Where the tensors of a session are to live.
    pub(crate) fn place(&self) -> Place {
        let at = match self.provider {
            Provider::Cuda => Where::Cuda,
            _ if self.apart => Where::Apart,
            _ => Where::Host,
        };
        Place::new(at, self.crossed.clone())
    }

    /// Refuses a model of the fused profile on CUDA: ONNX Runtime hands parts of it to the processor,
    /// and what comes out is another model's (1 of 7 ids of the bundled one, on an H200).
    pub(crate) fn check_profile(&self, profile: &str) -> Result<()> {
        if self.provider != Provider::Cuda || profile != "fused" {
            return Ok(());
        }
        let sentence = "this model is of the fused profile, which is for processors; export it with --profile cuda, or compute on the cpu (--provider cpu)";
        Err(Error::new(ErrorKind::Provider, sentence))
    }

    /// Whether steps are recorded.
    pub(crate) fn records(&self) -> bool {
        self.records
    }

    /// The library's version, as it says itself.
    pub fn version(&self) -> String {
        let info = ort::info();
        let version = std::fs::read_to_string(self.library.with_file_name("VERSION"));
        version.map_or_else(|_| info.to_string(), |version| version.trim().to_string())
    }

    /// The provider to register with a session; `None` for the CPU, which is always there.
    /// `replayed`: one whose runs may be recorded.
    pub(crate) fn dispatch(&self, replayed: bool) -> Option<ExecutionProviderDispatch> {
        let provider = compiled(self.provider, replayed && self.records)?;
        Some(provider.dispatch.error_on_failure())
    }
}

/// The environment of this process with the library it came from. ONNX Runtime has one a process,
/// so the first to ask makes it and others share it.
fn environment() -> Result<(Environment, PathBuf)> {
    static LOADED: Mutex<Option<(Environment, PathBuf)>> = Mutex::new(None);
    let mut loaded = LOADED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(loaded) = &*loaded {
        return Ok(loaded.clone());
    }
    let library = library::find()?;
    silence_telemetry();
    let failed = |sentence| Error::new(ErrorKind::Runtime, sentence);
    let environment = ort::init_from(&library)
        .map_err(|e| {
            failed(format!(
                "{} is no ONNX Runtime that works here: {e}",
                library.display()
            ))
        })?
        .with_name("mini-omni")
        .with_telemetry(false)
        .build()
        .map_err(|e| failed(format!("ONNX Runtime did not start: {e}")))?;
    Ok(loaded.insert((environment, library)).clone())
}

/// Set before ONNX Runtime starts, this keeps it from writing telemetry into the person's cache and
/// from sending any. A person who sets it to 0 decides otherwise.
const TELEMETRY_OFF: &str = "ORT_DISABLE_TELEMETRY";

/// `Environment::with_telemetry` comes too late: ONNX Runtime has made its database by then.
#[allow(unsafe_code)]
fn silence_telemetry() {
    if std::env::var_os(TELEMETRY_OFF).is_none() {
        // SAFETY: Rust's own readers of the environment share a lock with this. A thread of another
        // language that reads it at this very moment might not; ONNX Runtime's do not run yet.
        unsafe { std::env::set_var(TELEMETRY_OFF, "1") };
    }
}

/// A provider this binary was built with.
struct Compiled {
    dispatch: ExecutionProviderDispatch,
    /// Whether the loaded library has it too.
    in_library: bool,
}

#[cfg_attr(not(feature = "cuda"), allow(unused_variables))]
fn compiled(provider: Provider, records: bool) -> Option<Compiled> {
    match provider {
        // Heuristics choose convolutions: clips differ in length, and each would be searched anew. So
        // would cuDNN's attention plan every length of a prompt anew (75 of 80 ms of it on an H200).
        // Fp32 is fp32: by default its products are rounded to 10 bits.
        #[cfg(feature = "cuda")]
        Provider::Cuda => Some(Compiled::of(
            ort::ep::CUDA::default()
                .with_cuda_graph(records)
                .with_tf32(false)
                .with_attention_backend(
                    AttentionBackend::FLASH_ATTENTION
                        | AttentionBackend::EFFICIENT_ATTENTION
                        | AttentionBackend::MATH,
                )
                .with_conv_algorithm_search(ort::ep::cuda::ConvAlgorithmSearch::Heuristic),
        )),
        // The default format takes fewer operators: it would cut the encoder into ten pieces.
        #[cfg(feature = "coreml")]
        Provider::CoreMl => Some(Compiled::of(
            ort::ep::CoreML::default().with_model_format(ort::ep::coreml::ModelFormat::MLProgram),
        )),
        _ => None,
    }
}

#[cfg(any(feature = "cuda", feature = "coreml"))]
impl Compiled {
    fn of<E: ort::ep::ExecutionProvider + Into<ExecutionProviderDispatch>>(
        provider: E,
    ) -> Compiled {
        let in_library = E::is_available().unwrap_or(false);
        Compiled {
            dispatch: provider.into(),
            in_library,
        }
    }
}

fn settle(asked: Provider, library: &Path) -> Result<Provider> {
    match asked {
        Provider::Auto => Ok([Provider::Cuda, Provider::CoreMl]
            .into_iter()
            .find(|&p| missing(p, library).is_none())
            .unwrap_or(Provider::Cpu)),
        asked => match missing(asked, library) {
            None => Ok(asked),
            Some(why) => Err(Error::new(ErrorKind::Provider, why)),
        },
    }
}

/// Why a provider cannot be used, if it cannot.
fn missing(provider: Provider, library: &Path) -> Option<String> {
    let name = provider.name();
    match compiled(provider, false) {
        _ if provider == Provider::Cpu => None,
        None => Some(format!(
            "this program was built without the {name} provider (cargo feature {name}); build it with that, or compute on the cpu"
        )),
        Some(found) if !found.in_library => Some(format!(
            "the ONNX Runtime library {} has no {name} provider; point ORT_DYLIB_PATH at one that has it, or compute on the cpu",
            library.display()
        )),
        Some(_) => None,
    }
}
