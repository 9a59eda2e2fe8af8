//! Attention in 8 bits, for an encoder that is exported in int8: ONNX Runtime computes it in float.

use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput,
};
use ort::value::TensorElementType::Float32;

use super::avx512::Shared;
use super::avx512::attention::{HEAD, Heads, attend};
use super::{inputs, misshapen};

/// Queries [1, m, width], keys and values [1, n, width] -> what each query hears [1, m, width]; heads
/// of 64 side by side. The queries are scaled beforehand.
pub(super) struct Attention8;

impl Operator for Attention8 {
    type Kernel<'attr> = Attention8Kernel;

    fn name(&self) -> &str {
        "Attention8"
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [Float32; 3].map(OperatorInput::required)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(Float32)]
    }

    fn create_kernel<'attr>(&self, _: &KernelContext<'attr>) -> ort::Result<Attention8Kernel> {
        Ok(Attention8Kernel)
    }
}

pub(super) struct Attention8Kernel;

impl Kernel for Attention8Kernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let [queries, keys, values] = inputs(context)?;
        let (shape, queries) = queries.try_extract_tensor::<f32>()?;
        let (_, keys) = keys.try_extract_tensor::<f32>()?;
        let (_, values) = values.try_extract_tensor::<f32>()?;
        let width = shape.last().map_or(0, |&width| width as usize);
        if width == 0
            || !width.is_multiple_of(HEAD)
            || keys.len() != values.len()
            || keys.is_empty()
        {
            return Err(misshapen());
        }
        let mut y = context.output(0, shape.to_vec())?.ok_or_else(misshapen)?;
        let (_, y) = y.try_extract_tensor_mut::<f32>()?;
        let heads = Heads {
            queries,
            keys,
            values,
            width,
        };
        let (n, y) = (width / HEAD, Shared::new(y, width));
        context.par_for(n, n, |head| attend(&heads, head, &y))
    }
}
