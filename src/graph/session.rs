//! Opening a graph and holding it against the manifest.

use std::path::Path;

use ort::ep::CPU;
use ort::session::builder::GraphOptimizationLevel;
use ort::session::{Session, SessionOutputs, builder::SessionBuilder};
use ort::value::{DynValue, Outlet, Tensor, TensorElementType, ValueType};

use super::operators;
use super::runtime::{Provider, Runtime};
use crate::error::{Error, ErrorKind, Result};
use crate::model::contract::shape as text_of;
use crate::model::inside::with_outputs;
use crate::model::links::{self, Relinked};
use crate::model::manifest::{Dim, GraphSpec, TensorSpec};
use crate::model::names;

/// The setting that names the folder of a graph's data files where the graph itself is no file.
const DATA_FOLDER: &str = "session.model_external_initializers_file_folder_path";

/// The longest that a thread waits busily, microseconds. Operators of a step follow each other sooner;
/// ONNX Runtime's own, a millisecond and more, lets two processes keep each other from their cores:
/// with it a step took 2.5 to 2.9 times as long beside another, with this 2.0 to 2.1, and alone the
/// same (AMD EPYC, 2 cores, 2026-11-27, full size in int4, `mini-omni bench --encoder-window short`).
const SPIN_US: &str = "20";

/// How a session shares the machine with the others.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionOptions {
    /// Threads of one operator.
    pub threads: usize,
    /// Whether its threads keep their cores busy for [`SPIN_US`] between two operators, to wake
    /// faster. They stop at the end of a run: what runs next may be another graph.
    pub spin: bool,
    /// Whether memory is kept for the next run: faster where runs follow each other, and about twice
    /// what the largest run needs.
    pub arena: bool,
    /// Whether a GPU may record a run and play it again, as [`Runtime::with_recording`] says.
    pub replayed: bool,
}

/// Opens `spec.file` in `folder` and checks its inputs and outputs against `spec`. The values `inside`
/// it become outputs, too.
pub(crate) fn open(
    runtime: &Runtime,
    (folder, spec): (&Path, &GraphSpec),
    options: SessionOptions,
    inside: &[String],
) -> Result<Session> {
    let path = folder.join(&spec.file);
    let failed = |e: &dyn std::fmt::Display| {
        let why = e.to_string();
        let sentence = || {
            format!(
                "ONNX Runtime cannot open {}: {}; verify the model folder, or export it again",
                path.display(),
                names::one_line(&why)
            )
        };
        let provider = unloadable(runtime.provider(), &why).or_else(|| without_gpu(&why));
        provider.unwrap_or_else(|| Error::new(ErrorKind::Model, sentence()))
    };
    let relinked = links::relinked(&path).and_then(|graph| opened_up(graph, &path, inside));
    let relinked = relinked.map_err(|e| failed(&e))?;
    let builder = builder(runtime, options).map_err(|e| failed(&e))?;
    let session = commit(builder, &path, relinked).map_err(|e| failed(&e))?;
    check(&path, "input", session.inputs(), &spec.inputs)?;
    if inside.is_empty() {
        check(&path, "output", session.outputs(), &spec.outputs)?;
    }
    Ok(session)
}

/// A provider's own library could not be loaded: no fault of the graph that was being opened.
fn unloadable(provider: Provider, why: &str) -> Option<Error> {
    let (_, why) = why.split_once("Failed to load library ")?;
    let why = match why.split_once(" with error: ") {
        Some((_, why)) => why,
        None => why,
    };
    let what = match why.split_once(": cannot open shared object file") {
        Some((library, _)) => format!("the shared library {} is missing", names::one_line(library)),
        None => names::one_line(why),
    };
    let needs = match provider {
        Provider::Cuda => {
            "; NVIDIA's libraries for CUDA 13 (the CUDA runtime, cuBLAS, cuRAND, cuFFT, cuDNN) must be on the library path, LD_LIBRARY_PATH"
        }
        _ => "",
    };
    let name = provider.name();
    let sentence = format!("ONNX Runtime cannot load its {name} provider: {what}{needs}");
    Some(Error::new(ErrorKind::Provider, sentence))
}

/// CUDA itself failed, as where there is no GPU or its driver is too old.
fn without_gpu(why: &str) -> Option<Error> {
    let (_, why) = why.split_once("CUDA failure ")?;
    let (why, _) = why.split_once(" ;").unwrap_or((why, ""));
    let sentence = format!(
        "CUDA failed, error {}; the cuda provider needs an NVIDIA GPU and a driver for CUDA 13 (nvidia-smi names both)",
        names::one_line(why)
    );
    Some(Error::new(ErrorKind::Provider, sentence))
}

/// The graph with the values `inside` it among its outputs, if there are any to add.
fn opened_up(
    graph: Option<Relinked>,
    path: &Path,
    inside: &[String],
) -> std::io::Result<Option<Relinked>> {
    if inside.is_empty() {
        return Ok(graph);
    }
    let Relinked { graph, base } = match graph {
        Some(relinked) => relinked,
        None => Relinked {
            graph: std::fs::read(path)?,
            base: path.parent().unwrap_or(Path::new("")).to_path_buf(),
        },
    };
    let graph = with_outputs(graph, inside);
    Ok(Some(Relinked { graph, base }))
}

/// Opens the file, or the graph made from it.
fn commit(
    mut builder: SessionBuilder,
    path: &Path,
    relinked: Option<Relinked>,
) -> ort::Result<Session> {
    let Some(Relinked { graph, base }) = relinked else {
        return builder.commit_from_file(path);
    };
    builder
        .with_config_entry(DATA_FOLDER, base.to_string_lossy())?
        .commit_from_memory(&graph)
}

/// Opens the graph `name` that this binary carries: small, so it runs on one thread of the processor.
pub(crate) fn open_built_in(runtime: &Runtime, name: &str, graph: &[u8]) -> Result<Session> {
    let open = || {
        Session::builder(&runtime.environment)?
            .with_optimization_level(GraphOptimizationLevel::All)?
            .with_intra_threads(1)?
            .with_intra_op_spinning(false)?
            .with_log_level(ort::logging::LogLevel::Error)?
            .commit_from_memory(graph)
    };
    open().map_err(|e: ort::Error| {
        let sentence = format!("ONNX Runtime cannot open the built-in {name} graph: {e}");
        Error::new(ErrorKind::Runtime, sentence)
    })
}

/// A session's options, with what computes it.
pub(super) fn builder(runtime: &Runtime, options: SessionOptions) -> ort::Result<SessionBuilder> {
    let builder = Session::builder(&runtime.environment)?
        .with_optimization_level(GraphOptimizationLevel::All)?
        .with_intra_threads(options.threads)?
        .with_intra_op_spinning(options.spin)?
        .with_config_entry("session.intra_op.spin_duration_us", SPIN_US)?
        .with_config_entry("session.force_spinning_stop", "1")?
        .with_log_level(ort::logging::LogLevel::Fatal)?;
    // Elsewhere our kernels would pull their values off the device and back.
    Ok(match runtime.dispatch(options.replayed) {
        Some(provider) => builder.with_execution_providers([provider])?,
        None => {
            let cpu = CPU::default().with_arena_allocator(options.arena).build();
            let builder = builder.with_execution_providers([cpu])?;
            match operators::domain(&runtime.environment, runtime.kernels())? {
                Some(domain) => builder.with_operators(domain)?,
                None => builder,
            }
        }
    })
}

/// ONNX Runtime failed to run `graph`.
pub(crate) fn failed(graph: &str, source: ort::Error) -> Error {
    let why = names::one_line(&source.to_string());
    Error::new(ErrorKind::Graph, format!("the {graph} graph failed: {why}"))
}

fn check(path: &Path, kind: &str, found: &[Outlet], expected: &[TensorSpec]) -> Result<()> {
    let differs = |what: String| {
        let sentence = format!(
            "{} and its manifest disagree: {what}; export the model again",
            path.display()
        );
        Error::new(ErrorKind::Model, sentence)
    };
    for spec in expected {
        let outlet = found
            .iter()
            .find(|outlet| outlet.name() == spec.name)
            .ok_or_else(|| differs(format!("{kind} {} is missing from the graph", spec.name)))?;
        let (dtype, shape) = describe(outlet.dtype());
        if dtype != spec.dtype || !same_shape(&shape, &spec.shape) {
            return Err(differs(format!(
                "{kind} {} is {dtype} {shape:?} in the graph, expected {} {}",
                spec.name,
                spec.dtype,
                text_of(&spec.shape)
            )));
        }
    }
    match found
        .iter()
        .find(|outlet| expected.iter().all(|spec| spec.name != outlet.name()))
    {
        Some(extra) => Err(differs(format!(
            "the manifest does not know {kind} {}",
            names::one_line(extra.name())
        ))),
        None => Ok(()),
    }
}

fn describe(value: &ValueType) -> (&'static str, Vec<i64>) {
    match value {
        ValueType::Tensor { ty, shape, .. } => (dtype_name(*ty), shape.to_vec()),
        _ => ("no tensor", Vec::new()),
    }
}

fn dtype_name(ty: TensorElementType) -> &'static str {
    match ty {
        TensorElementType::Float32 => "float32",
        TensorElementType::Float16 => "float16",
        TensorElementType::Int64 => "int64",
        TensorElementType::Int32 => "int32",
        _ => "another type",
    }
}

/// A named dimension matches anything; in the graph it shows as -1.
fn same_shape(found: &[i64], expected: &[Dim]) -> bool {
    found.len() == expected.len()
        && found.iter().zip(expected).all(|(&n, dim)| match dim {
            Dim::Fixed(size) => n == *size,
            Dim::Named(_) => n == -1,
        })
}

/// The output `name` of a run; a graph that was held against its manifest has it.
pub(crate) fn output<'o>(outputs: &'o SessionOutputs, name: &str) -> ort::Result<&'o DynValue> {
    outputs
        .get(name)
        .ok_or_else(|| ort::Error::new(format!("no output {name}")))
}

/// Refuses a tensor of another shape than the graph declares; ONNX Runtime only warns of one.
pub(crate) fn hold_shape(name: &str, found: &[i64], expected: &[usize]) -> ort::Result<()> {
    if found
        .iter()
        .map(|&n| n as usize)
        .eq(expected.iter().copied())
    {
        return Ok(());
    }
    Err(ort::Error::new(format!(
        "{name} came as {found:?}, {expected:?} was expected"
    )))
}

/// A tensor in the host's memory that ONNX Runtime can be bound to, full of zeros, as `ort` makes it.
pub(crate) fn zeros<T>(shape: &[usize]) -> ort::Result<Tensor<T>>
where
    T: ort::value::PrimitiveTensorElementType + std::fmt::Debug,
{
    Tensor::new(&ort::memory::Allocator::default(), shape)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_library_of_a_provider_is_named_and_no_fault_of_the_model() {
        let said = "/onnxruntime/core/session/provider_bridge_ort.cc:2329 Ort::Provider& onnxruntime::ProviderLibrary::Get() [ONNXRuntimeError] : 1 : FAIL : Failed to load library libonnxruntime_providers_cuda.so with error: libcublasLt.so.13: cannot open shared object file: No such file or directory";
        let error = unloadable(Provider::Cuda, said).expect("a provider");
        assert_eq!(error.kind(), ErrorKind::Provider);
        let sentence = error.to_string();
        let named = "cannot load its cuda provider: the shared library libcublasLt.so.13 is missing; NVIDIA's libraries for CUDA 13";
        assert!(sentence.contains(named), "{sentence}");
        let other = "Failed to load library libonnxruntime_providers_cuda.so with error: undefined symbol: x";
        let other = unloadable(Provider::Cuda, other)
            .expect("a provider")
            .to_string();
        assert!(
            other.contains("provider: undefined symbol: x; NVIDIA's"),
            "{other}"
        );
        assert!(unloadable(Provider::Cuda, "Invalid model").is_none());
    }

    #[test]
    fn a_machine_without_a_gpu_is_no_fault_of_the_model() {
        let said = "/onnxruntime/core/providers/cuda/cuda_call.cc:154 onnxruntime::CudaCall() CUDA failure 100: no CUDA-capable device is detected ; GPU=0 ; hostname=h ; file=f ; line=1 ; expr=cudaSetDevice(0); ";
        let error = without_gpu(said).expect("a sentence");
        assert_eq!(error.kind(), ErrorKind::Provider);
        let named = "error 100: no CUDA-capable device is detected; the cuda provider needs";
        assert!(error.to_string().contains(named), "{error}");
        assert!(without_gpu("Invalid model").is_none());
    }
}
