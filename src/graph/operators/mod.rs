//! Kernels for what ONNX Runtime is slow at, as operators of the domain `mini_omni`.
//!
//! The exported graphs hold each as a function of plain operators, which any ONNX Runtime can run
//! (`export/mini_omni_export/functions.py`); a session on the CPU that knows a kernel takes it
//! instead. [`snake`] is the codec's activation with what surrounds it, [`linear4`] the decoder's
//! products with 4-bit weights, [`linear8`] the encoder's and the codec's with 8-bit ones,
//! [`attention8`] the encoder's attention in 8 bits, [`cached_attention`] the decoder's over its cache;
//! [`avx512`] has the arithmetic of these four.

#[cfg(target_arch = "x86_64")]
mod attention8;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "x86_64")]
mod cached_attention;
#[cfg(target_arch = "x86_64")]
mod linear4;
#[cfg(target_arch = "x86_64")]
mod linear8;
mod snake;

use std::sync::{Mutex, PoisonError};

#[cfg(target_arch = "x86_64")]
use self::avx512::products8::Activation;

use ort::environment::Environment;
use ort::operator::{ComputeContext, OperatorDomain};
use ort::session::Session;
use ort::value::ValueRef;

/// A graph of one Identity.
const IDENTITY: &[u8] = include_bytes!("identity.onnx");

/// Whether the domain's name is known.
static ANNOUNCED: Mutex<bool> = Mutex::new(false);

/// The domain with the kernels that this processor has.
pub(crate) fn domain(environment: &Environment) -> ort::Result<OperatorDomain> {
    announce(environment)?;
    kernels()
}

/// Opens a session with the domain once. The first one to open writes the domain's name down in
/// ONNX Runtime, without a lock; of two that open at the same time one would fail.
fn announce(environment: &Environment) -> ort::Result<()> {
    let mut announced = ANNOUNCED.lock().unwrap_or_else(PoisonError::into_inner);
    if !*announced {
        Session::builder(environment)?
            .with_operators(kernels()?)?
            .commit_from_memory(IDENTITY)?;
        *announced = true;
    }
    Ok(())
}

fn kernels() -> ort::Result<OperatorDomain> {
    let domain = OperatorDomain::new("mini_omni")?
        .add(snake::Snake)?
        .add(snake::SnakeConv)?;
    #[cfg(target_arch = "x86_64")]
    if avx512::is_available() {
        return domain
            .add(linear4::Linear4)?
            .add(linear8::Linear8 {
                activation: Activation::None,
            })?
            .add(linear8::Linear8 {
                activation: Activation::Gelu,
            })?
            .add(attention8::Attention8)?
            .add(cached_attention::CachedAttention);
    }
    Ok(domain)
}

fn misshapen() -> ort::Error {
    ort::Error::new("an input or attribute of a mini_omni operator is missing or misshapen")
}

fn inputs<const N: usize>(context: &ComputeContext) -> ort::Result<[ValueRef<'_>; N]> {
    let found = (0..N)
        .map(|i| context.input(i)?.ok_or_else(misshapen))
        .collect::<ort::Result<Vec<_>>>()?;
    found.try_into().map_err(|_| misshapen())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ort::session::{Session, SessionInputValue};
    use ort::value::Tensor;

    use super::domain;
    use crate::graph::{Provider, Runtime};

    /// Numbers in -1..1 that look random.
    fn draws(shape: &[usize], seed: usize) -> SessionInputValue<'static> {
        let draw = |i: usize| ((i + 1) as f32 * (seed + 1) as f32 * 0.37).sin();
        let x: Vec<f32> = (0..shape.iter().product()).map(draw).collect();
        Tensor::from_array((shape, x)).expect("a tensor").into()
    }

    fn integers(shape: &[usize], x: &[i32]) -> SessionInputValue<'static> {
        Tensor::from_array((shape, x.to_vec()))
            .expect("a tensor")
            .into()
    }

    /// What the kernel says of a graph's inputs, and what ONNX Runtime says where it does not know it.
    fn both_agree(
        runtime: &Runtime,
        name: &str,
        inputs: impl Fn() -> Vec<SessionInputValue<'static>>,
        within: f32,
    ) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("tests/fixtures/operators/{name}.onnx"));
        let plain = || Session::builder(&runtime.environment).expect("a builder");
        let operators = domain(&runtime.environment).expect("the operators");
        let with_kernels = plain().with_operators(operators).expect("a builder");
        let [function, kernel] = [plain(), with_kernels].map(|mut builder| {
            let mut session = builder.commit_from_file(&file).expect("a graph");
            let outputs = session.run(&inputs()[..]).expect("a result");
            let (shape, y) = outputs["y"].try_extract_tensor::<f32>().expect("floats");
            (shape.to_vec(), y.to_vec())
        });
        assert_eq!(function.0, kernel.0);
        for (i, (a, b)) in function.1.iter().zip(&kernel.1).enumerate() {
            assert!((a - b).abs() < within, "{name}, value {i}: {a} {b}");
        }
    }

    #[test]
    fn kernels_agree_with_their_functions() {
        let runtime = &Runtime::load(Provider::Cpu, 2).expect("ONNX Runtime");
        for rows in [1, 2, 7, 16, 17, 40, 150] {
            // Either rounds the rows of x to 8 bits; where, may differ.
            let x = || vec![draws(&[rows, 256], 0)];
            both_agree(runtime, "linear4", x, 0.05);
            both_agree(runtime, "linear8", x, 0.3);
            both_agree(runtime, "linear8_gelu", x, 0.3);
        }
        for (queries, keys) in [(1, 1), (3, 40), (37, 37), (100, 300)] {
            // The function computes in float.
            let inputs = || {
                let n = [queries, keys, keys];
                (0..3).map(|i| draws(&[1, n[i], 128], i)).collect()
            };
            both_agree(runtime, "attention8", inputs, 0.03);
        }
        // Rows' lengths with the columns that come to them.
        let cases: [(usize, &[i32]); 5] = [
            (1, &[1]),
            (37, &[37]),
            (11, &[50]),
            (1, &[600, 7]),
            (1, &[512, 130, 700]),
        ];
        for (columns, lengths) in cases {
            let inputs = || {
                let n = lengths.len();
                let most = lengths.iter().max().copied().unwrap_or(0);
                let last: Vec<i32> = lengths.iter().map(|n| n - 1).collect();
                vec![
                    draws(&[n, columns, 18 * 64], 0),
                    draws(&[n, 2, 703, 64], 1),
                    draws(&[n, 2, 703, 64], 2),
                    integers(&[n], &last),
                    integers(&[], &[most]),
                    draws(&[703, 32], 3),
                    draws(&[703, 32], 4),
                ]
            };
            both_agree(runtime, "cached_attention", inputs, 1e-4);
        }
    }
}
