//! Products with 8-bit weights, of many rows: an encoder's. ONNX Runtime's take half as long again,
//! pack a second copy of the weights when a session opens, and give all rows of x one scale.

use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput,
};
use ort::value::TensorElementType::{Float32, Int8};
use ort::value::TensorValueType;

use super::avx512::Shared;
use super::avx512::products8::{self, Activation, ROWS, Weights};
use super::{inputs, misshapen};

/// x [..., k], weights [n / 16, k / 4, 16, 4], scales [n], bias [n] -> x W^T + bias [..., n], or that
/// activated. Each row of x is quantised to 8 bits on the way.
pub(super) struct Linear8 {
    pub activation: Activation,
}

impl Operator for Linear8 {
    type Kernel<'attr> = Linear8Kernel;

    fn name(&self) -> &str {
        match self.activation {
            Activation::None => "Linear8",
            Activation::Gelu => "Linear8Gelu",
        }
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [Float32, Int8, Float32, Float32].map(OperatorInput::required)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(Float32)]
    }

    fn create_kernel<'attr>(&self, context: &KernelContext<'attr>) -> ort::Result<Linear8Kernel> {
        let weights = context.constant_input::<TensorValueType<i8>>(1)?;
        let (shape, weights) = weights.extract_tensor();
        let width = shape.get(1).map_or(0, |&fours| 4 * fours as usize);
        Ok(Linear8Kernel {
            activation: self.activation,
            sums: products8::sums(weights, width),
        })
    }
}

pub(super) struct Linear8Kernel {
    activation: Activation,
    /// Of the weights' columns; the weights are part of the model.
    sums: Vec<i32>,
}

/// Most rows of a piece: in 8 bits they fit a core's cache beside the weights of a few columns.
const MOST: usize = 8 * ROWS;
/// Fewest pieces, where there are rows for them.
const PIECES: usize = 4;

impl Kernel for Linear8Kernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let [x, weights, scales, bias] = inputs(context)?;
        let (shape, x) = x.try_extract_tensor::<f32>()?;
        let (_, weights) = weights.try_extract_tensor::<i8>()?;
        let (_, scales) = scales.try_extract_tensor::<f32>()?;
        let (_, bias) = bias.try_extract_tensor::<f32>()?;
        let k = shape.last().map_or(0, |&k| k as usize);
        let weights = Weights::new(weights, scales, bias, &self.sums, k).ok_or_else(misshapen)?;
        let mut shape = shape.to_vec();
        *shape.last_mut().ok_or_else(misshapen)? = weights.columns() as i64;
        let mut y = context.output(0, shape)?.ok_or_else(misshapen)?;
        let (_, y) = y.try_extract_tensor_mut::<f32>()?;
        let y = Shared::new(y, weights.columns());
        let rows = (x.len() / k)
            .div_ceil(PIECES)
            .next_multiple_of(ROWS)
            .min(MOST);
        let pieces: Vec<&[f32]> = x.chunks(rows * k).collect();
        let activation = self.activation;
        context.par_for(pieces.len(), 0, |piece| {
            products8::multiply(&weights, pieces[piece], activation, piece * rows, &y);
        })
    }
}
