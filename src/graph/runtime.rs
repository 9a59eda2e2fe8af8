//! Finding ONNX Runtime, and the provider that computes.
//!
//! The library is a shared one, so that one binary serves a CPU box, a CUDA server and a Mac. It is
//! looked for in three places: `ORT_DYLIB_PATH`, beside the binary, where `make` puts it. A provider
//! that was asked for and is not there is an error, never a silent fall-back.

use std::fs;
use std::path::{Path, PathBuf};

use ort::environment::Environment;
use ort::ep::ExecutionProviderDispatch;

use crate::error::{Error, Result};

/// Where `make` puts the library: `.onnxruntime/` of the source tree this binary was built from.
const MAKE_FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/.onnxruntime");

/// What computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Provider {
    /// CUDA, else CoreML, else CPU; says which.
    Auto,
    Cpu,
    Cuda,
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
    /// The library file.
    pub library: PathBuf,
    /// Never `Auto`: what was found.
    pub provider: Provider,
    /// Threads of one operator.
    pub threads: usize,
}

impl Runtime {
    /// Whether decoder and codec run one after the other, each on all cores. Two cores have none to
    /// spare for a third busy thread: side by side an answer takes as long, but its first sound comes
    /// a tenth later and a step takes twice the time (measured at full size in int4).
    pub(crate) fn takes_turns(&self) -> bool {
        self.threads <= 2
    }

    /// Loads the library and settles the provider. `threads` 0 means all cores.
    pub fn load(provider: Provider, threads: usize) -> Result<Runtime> {
        let library = find_library()?;
        let builder = ort::init_from(&library).map_err(|e| {
            Error::Runtime(format!(
                "{} is no ONNX Runtime this binary can use: {e}; `make onnxruntime` gets the right one",
                library.display()
            ))
        })?;
        let environment = builder
            .with_name("mini-omni")
            .with_telemetry(false)
            .build()
            .map_err(|e| Error::Runtime(format!("ONNX Runtime did not start: {e}")))?;
        let provider = settle(provider, &library)?;
        let threads = match threads {
            0 => std::thread::available_parallelism().map_or(1, usize::from),
            n => n,
        };
        Ok(Runtime {
            environment,
            library,
            provider,
            threads,
        })
    }

    /// The same library and threads with another provider.
    pub fn with_provider(&self, provider: Provider) -> Result<Runtime> {
        Ok(Runtime {
            environment: self.environment.clone(),
            library: self.library.clone(),
            provider: settle(provider, &self.library)?,
            threads: self.threads,
        })
    }

    /// The library's version, as it says itself.
    pub fn version(&self) -> String {
        let info = ort::info();
        let version = std::fs::read_to_string(self.library.with_file_name("VERSION"));
        version.map_or_else(|_| info.to_string(), |version| version.trim().to_string())
    }

    /// The provider to register with a session; `None` for the CPU, which is always there.
    pub(crate) fn dispatch(&self) -> Option<ExecutionProviderDispatch> {
        compiled(self.provider).map(|provider| provider.dispatch.error_on_failure())
    }
}

/// A provider this binary was built with.
struct Compiled {
    dispatch: ExecutionProviderDispatch,
    /// Whether the loaded library has it too.
    in_library: bool,
}

fn compiled(provider: Provider) -> Option<Compiled> {
    match provider {
        #[cfg(feature = "cuda")]
        Provider::Cuda => Some(Compiled::of(ort::ep::CUDA::default())),
        #[cfg(feature = "coreml")]
        Provider::CoreMl => Some(Compiled::of(ort::ep::CoreML::default())),
        _ => None,
    }
}

#[cfg(any(feature = "cuda", feature = "coreml"))]
impl Compiled {
    fn of<E: ort::ep::ExecutionProvider + Into<ExecutionProviderDispatch>>(
        provider: E,
    ) -> Compiled {
        let in_library = provider.is_available().unwrap_or(false);
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
            Some(why) => Err(Error::Provider(why)),
        },
    }
}

/// Why a provider cannot be used, if it cannot.
fn missing(provider: Provider, library: &Path) -> Option<String> {
    let name = provider.name();
    match compiled(provider) {
        _ if provider == Provider::Cpu => None,
        None => Some(format!(
            "this binary was built without the {name} provider; build it with `cargo build --release --features {name}`, or use --provider cpu"
        )),
        Some(found) if !found.in_library => Some(format!(
            "the ONNX Runtime library {} has no {name} provider; point ORT_DYLIB_PATH at one that has it, or use --provider cpu",
            library.display()
        )),
        Some(_) => None,
    }
}

/// The library file, from the first of the three places that has one.
pub fn find_library() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("ORT_DYLIB_PATH").filter(|p| !p.is_empty()) {
        let path = PathBuf::from(path);
        return if path.is_file() {
            Ok(path)
        } else {
            Err(Error::Runtime(format!(
                "ORT_DYLIB_PATH names {}, which is not a file",
                path.display()
            )))
        };
    }
    let beside = std::env::current_exe()
        .ok()
        .and_then(|exe| exe.parent().map(Path::to_path_buf));
    beside
        .iter()
        .map(PathBuf::as_path)
        .chain([Path::new(MAKE_FOLDER)])
        .find_map(library_in)
        .ok_or_else(|| {
            Error::Runtime(format!(
                "ONNX Runtime was not found: not by ORT_DYLIB_PATH (not set), not beside the binary ({}), not where make puts it ({MAKE_FOLDER}); `make onnxruntime` gets it",
                beside.as_deref().unwrap_or(Path::new("unknown")).display()
            ))
        })
}

fn library_in(folder: &Path) -> Option<PathBuf> {
    let plain = folder.join(format!(
        "{}onnxruntime{}",
        std::env::consts::DLL_PREFIX,
        std::env::consts::DLL_SUFFIX
    ));
    if plain.is_file() {
        return Some(plain);
    }
    // Linux wheels and tarballs name the file with its version: libonnxruntime.so.1.31.1
    let prefix = plain.file_name()?.to_str()?.to_owned() + ".";
    let mut versioned: Vec<_> = fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| {
            path.file_name()
                .and_then(|n| n.to_str())
                .is_some_and(|n| n.starts_with(&prefix))
        })
        .collect();
    versioned.sort();
    versioned.pop()
}
