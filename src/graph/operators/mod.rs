//! Kernels for what ONNX Runtime is slow at, as operators of the domain `mini_omni`.
//!
//! The exported graphs hold each as a function of plain operators, which any ONNX Runtime can run
//! (`export/mini_omni_export/functions.py`); a session on the CPU that knows a kernel takes it
//! instead. [`snake`] is the codec's activation with what surrounds it, [`linear4`] the decoder's
//! products with 4-bit weights, [`linear8`] the encoder's and the codec's with 8-bit ones, and
//! [`attention8`] the encoder's attention in 8 bits; [`vnni`] has the arithmetic of these three.

#[cfg(target_arch = "x86_64")]
mod attention8;
#[cfg(target_arch = "x86_64")]
mod linear4;
#[cfg(target_arch = "x86_64")]
mod linear8;
mod snake;
#[cfg(target_arch = "x86_64")]
mod vnni;

use std::sync::{Mutex, PoisonError};

#[cfg(target_arch = "x86_64")]
use self::vnni::products8::Activation;

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
    if vnni::is_available() {
        return domain
            .add(linear4::Linear4)?
            .add(linear8::Linear8 {
                activation: Activation::None,
            })?
            .add(linear8::Linear8 {
                activation: Activation::Gelu,
            })?
            .add(attention8::Attention8);
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

    /// What the kernel says of a graph's inputs, and what ONNX Runtime says where it does not know it.
    fn both_agree(runtime: &Runtime, name: &str, shapes: &[Vec<usize>], within: f32) {
        let file = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join(format!("tests/fixtures/operators/{name}.onnx"));
        let plain = || Session::builder(&runtime.environment).expect("a builder");
        let operators = domain(&runtime.environment).expect("the operators");
        let with_kernels = plain().with_operators(operators).expect("a builder");
        let [function, kernel] = [plain(), with_kernels].map(|mut builder| {
            let mut session = builder.commit_from_file(&file).expect("a graph");
            let inputs: Vec<SessionInputValue> = (0..shapes.len())
                .map(|i| {
                    let n = shapes[i].iter().product::<usize>();
                    let x: Vec<f32> = (0..n)
                        .map(|j| ((i + 1) as f32 * j as f32 * 0.37).sin())
                        .collect();
                    Tensor::from_array((shapes[i].clone(), x))
                        .expect("a tensor")
                        .into()
                })
                .collect();
            let outputs = session.run(&inputs[..]).expect("a result");
            let (shape, y) = outputs["y"].try_extract_tensor::<f32>().expect("floats");
            (shape.to_vec(), y.to_vec())
        });
        assert_eq!(function.0, kernel.0);
        for (a, b) in function.1.iter().zip(&kernel.1) {
            assert!((a - b).abs() < within, "{name} {shapes:?}: {a} {b}");
        }
    }

    #[test]
    fn kernels_agree_with_their_functions() {
        let runtime = &Runtime::load(Provider::Cpu, 2).expect("ONNX Runtime");
        for rows in [1, 2, 7, 16, 17, 40, 150] {
            // Either rounds the rows of x to 8 bits; where, may differ.
            both_agree(runtime, "linear4", &[vec![rows, 256]], 0.05);
            both_agree(runtime, "linear8", &[vec![rows, 256]], 0.3);
            both_agree(runtime, "linear8_gelu", &[vec![rows, 256]], 0.3);
        }
        for (queries, keys) in [(1, 1), (3, 40), (37, 37), (100, 300)] {
            // The function computes in float.
            let [queries, keys] = [queries, keys].map(|n| vec![1, n, 128]);
            both_agree(runtime, "attention8", &[queries, keys.clone(), keys], 0.03);
        }
    }
}
