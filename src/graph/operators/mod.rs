//! Kernels for what ONNX Runtime is slow at, as operators of the domain `mini_omni`.
//!
//! The exported graphs hold each as a function of plain operators, which any ONNX Runtime can run
//! (`export/mini_omni_export/functions.py`); a session on the CPU that knows a kernel takes it
//! instead. [`snake`] is the codec's activation with what surrounds it, [`linear4`] the decoder's
//! products with 4-bit weights, [`vnni`] the instructions it needs.

#[cfg(target_arch = "x86_64")]
mod linear4;
mod snake;
#[cfg(target_arch = "x86_64")]
mod vnni;

use ort::operator::{ComputeContext, OperatorDomain};
use ort::value::ValueRef;

/// The domain with the kernels that this processor has.
pub(crate) fn domain() -> ort::Result<OperatorDomain> {
    let domain = OperatorDomain::new("mini_omni")?
        .add(snake::Snake)?
        .add(snake::SnakeConv)?;
    #[cfg(target_arch = "x86_64")]
    if vnni::is_available() {
        return domain.add(linear4::Linear4);
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
        let operators = domain().expect("the operators");
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
