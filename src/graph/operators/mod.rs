//! Kernels for what ONNX Runtime is slow at, as operators of the domain `mini_omni`.
//!
//! The exported graphs hold each as a function of plain operators, which any ONNX Runtime can run
//! (`export/mini_omni_export/functions.py`); a session on the CPU that knows a kernel takes it
//! instead. [`snake`] is the codec's activation with what surrounds it, [`linear4`] the decoder's
//! products with 4-bit weights, [`attention8`] the encoder's attention in 8 bits; [`vnni`] has the
//! arithmetic of the last two.

#[cfg(target_arch = "x86_64")]
mod attention8;
#[cfg(target_arch = "x86_64")]
mod linear4;
mod snake;
#[cfg(target_arch = "x86_64")]
mod vnni;

use std::sync::{Mutex, PoisonError};

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
        return domain.add(linear4::Linear4)?.add(attention8::Attention8);
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

    use ort::session::Session;
    use ort::value::Tensor;

    use super::domain;
    use crate::graph::{Provider, Runtime};

    /// What the kernel says, and what ONNX Runtime says where it does not know it.
    #[test]
    fn the_kernel_of_linear4_agrees_with_its_function() {
        let runtime = Runtime::load(Provider::Cpu, 2).expect("ONNX Runtime");
        let file =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/operators/linear4.onnx");
        let plain = || Session::builder(&runtime.environment).expect("a builder");
        let operators = domain(&runtime.environment).expect("the operators");
        let mut sessions = [
            plain(),
            plain().with_operators(operators).expect("a builder"),
        ]
        .map(|mut builder| builder.commit_from_file(&file).expect("a graph"));
        for rows in [1, 2, 7, 16, 17, 40] {
            let x: Vec<f32> = (0..rows * 256).map(|i| (i as f32 * 0.37).sin()).collect();
            let [function, kernel] = sessions.each_mut().map(|session| {
                let x = Tensor::from_array(([rows, 256], x.clone())).expect("a tensor");
                let outputs = session.run(ort::inputs!["x" => x]).expect("a product");
                let (shape, y) = outputs["y"].try_extract_tensor::<f32>().expect("floats");
                assert_eq!(shape[..], [rows as i64, 40]);
                y.to_vec()
            });
            for (a, b) in function.iter().zip(&kernel) {
                // Both round the rows of x to 8 bits; where, may differ.
                assert!((a - b).abs() < 0.05, "{rows} rows: {a} {b}");
            }
        }
    }
}
