//! Products with 4-bit weights, as the exporter's int4 format has them (ONNX Runtime's MatMulNBits
//! with blocks of 128).
//!
//! The kernel reads the weights as they lie in the file, mapped into memory, where ONNX Runtime
//! keeps a packed copy beside them; and it computes many rows (a prompt, many conversations) in half
//! the time.

use std::cell::RefCell;

use ort::operator::{
    ComputeContext, Kernel, KernelContext, Operator, OperatorInput, OperatorOutput,
};
use ort::value::TensorElementType::{Float32, Uint8};

use super::avx512::Shared;
use super::avx512::products4::{self, Quantized, Weights};
use super::{inputs, misshapen};

/// x [..., k], packed [n, k / 128, 64] (two weights a byte, 8 is zero), scales [n, k / 128]
/// -> x W^T [..., n]. Rows of x are quantised to 8 bits by blocks of 128 on the way.
pub(super) struct Linear4;

impl Operator for Linear4 {
    type Kernel<'attr> = Linear4Kernel;

    fn name(&self) -> &str {
        "Linear4"
    }

    fn inputs(&self) -> impl IntoIterator<Item = OperatorInput> {
        [Float32, Uint8, Float32].map(OperatorInput::required)
    }

    fn outputs(&self) -> impl IntoIterator<Item = OperatorOutput> {
        [OperatorOutput::required(Float32)]
    }

    fn create_kernel<'attr>(&self, _: &KernelContext<'attr>) -> ort::Result<Linear4Kernel> {
        Ok(Linear4Kernel)
    }
}

pub(super) struct Linear4Kernel;

thread_local! {
    /// The rows of x, quantised; one at a time is in use on a thread that runs sessions.
    static QUANTIZED: RefCell<Quantized> = RefCell::default();
}

/// Rows of x from which weights are unpacked once for all of them.
const MANY: usize = 17;
/// Columns of y to compute at a time, of few rows.
const COLUMNS: usize = 64;
/// Pieces for each thread, so that one that was held up leaves some to the other.
const PIECES: usize = 8;

impl Kernel for Linear4Kernel {
    fn compute(&mut self, context: &ComputeContext) -> ort::Result<()> {
        let [x, packed, scales] = inputs(context)?;
        let (shape, x) = x.try_extract_tensor::<f32>()?;
        let (_, packed) = packed.try_extract_tensor::<u8>()?;
        let (_, scales) = scales.try_extract_tensor::<f32>()?;
        let k = shape.last().map_or(0, |&k| k as usize);
        let weights = Weights::new(packed, scales, k).ok_or_else(misshapen)?;
        let mut shape = shape.to_vec();
        *shape.last_mut().ok_or_else(misshapen)? = weights.rows() as i64;
        let mut y = context.output(0, shape)?.ok_or_else(misshapen)?;
        let (_, y) = y.try_extract_tensor_mut::<f32>()?;
        QUANTIZED.with_borrow_mut(|quantized| multiply(context, x, &weights, quantized, y))
    }
}

fn multiply(
    context: &ComputeContext,
    x: &[f32],
    weights: &Weights,
    quantized: &mut Quantized,
    y: &mut [f32],
) -> ort::Result<()> {
    let rows = x.len() / weights.width();
    let pieces = quantized.start(rows, weights.width());
    if rows < MANY {
        pieces
            .into_iter()
            .enumerate()
            .for_each(|(row, mut piece)| piece.fill(row, x));
    } else {
        let pieces: Vec<_> = pieces.into_iter().map(std::sync::Mutex::new).collect();
        context.par_for(rows, 0, |row| {
            if let Ok(mut piece) = pieces[row].lock() {
                piece.fill(row, x);
            }
        })?;
    }
    let (quantized, y) = (&*quantized, Shared::new(y, weights.rows()));
    let width = if rows < MANY {
        COLUMNS
    } else {
        products4::TILE
    };
    let total = weights.rows().div_ceil(width);
    context.par_for(total, PIECES, |piece| {
        let columns = piece * width..weights.rows().min((piece + 1) * width);
        if rows < MANY {
            products4::few_rows(weights, quantized, columns, &y);
        } else {
            products4::many_rows(weights, quantized, columns, &y);
        }
    })
}
