//! Products with 8-bit weights, of many rows: an encoder's. ONNX Runtime's take half as long again,
//! pack a second copy of the weights when a session opens, and give all rows of x one scale.

use std::sync::Mutex;

use super::guard::{Call, Compute, Node, Operation};
use super::kernels::products8::{self, Activation, ROWS, TILE, Weights};
use super::shape::{Dim::*, Input};
use super::vectors::Vectors;

/// x [..., k], weights [n / 16, k / 4, 16, 4], scales [n], bias [n] -> x W^T + bias [..., n], or that
/// activated. Each row of x is quantised to 8 bits on the way.
pub(super) struct Linear8<V> {
    pub v: V,
    pub activation: Activation,
}

impl<V: Vectors> Operation for Linear8<V> {
    type Kernel = Linear8Kernel<V>;

    const INPUTS: &'static [Input] = &[
        Input::f32("x", &[Rows("rows"), Times(4, "fours")]),
        Input::i8("weights", &[Size("tiles"), Size("fours"), Is(16), Is(4)]),
        Input::f32("scales", &[Times(16, "tiles")]),
        Input::f32("bias", &[Times(16, "tiles")]),
    ];

    fn name(&self) -> &'static str {
        match self.activation {
            Activation::None => "Linear8",
            Activation::Gelu => "Linear8Gelu",
        }
    }

    fn kernel(&self, node: &Node) -> ort::Result<Linear8Kernel<V>> {
        let (v, activation) = (self.v, self.activation);
        let sums = node.constant(1, &Self::INPUTS[1], |sizes, weights| {
            let width = 4 * sizes.get("fours"); // no overflow: so many bytes are there
            products8::sums(v, weights, width)
        })?;
        Ok(Linear8Kernel {
            v,
            activation,
            sums,
        })
    }
}

pub(super) struct Linear8Kernel<V> {
    v: V,
    activation: Activation,
    /// Of the weights' columns; the weights are part of the model.
    sums: Vec<[i32; TILE]>,
}

/// Most rows of a piece: in 8 bits they fit a core's cache beside the weights of a few columns.
const MOST: usize = 8 * ROWS;
/// Fewest pieces, where there are rows for them.
const PIECES: usize = 4;

impl<V: Vectors> Compute for Linear8Kernel<V> {
    fn compute(&mut self, call: &Call) -> ort::Result<()> {
        let (x, weights) = (call.data::<f32>(0)?, call.data(1)?);
        let k = x.len() / call.size("rows");
        let weights = Weights::new(weights, call.data(2)?, call.data(3)?, &self.sums, k);
        let weights = weights.ok_or_else(|| {
            let widest = products8::WIDEST;
            call.error(&format!("rows of x may have up to {widest} numbers"))
        })?;
        let n = weights.columns();
        let mut shape = call.shape(0).to_vec();
        if let Some(last) = shape.last_mut() {
            *last = n as i64;
        }
        let mut y = call.output(0, &shape)?;
        let rows = (x.len() / k)
            .div_ceil(PIECES)
            .next_multiple_of(ROWS)
            .min(MOST);
        let pieces = x.chunks(rows * k).zip(y.data()?.chunks_mut(rows * n));
        let pieces: Vec<_> = pieces.map(Mutex::new).collect();
        let (v, activation) = (self.v, self.activation);
        call.par_for(pieces.len(), 0, |piece| {
            if let Ok(mut piece) = pieces[piece].lock() {
                let (x, y) = &mut *piece;
                products8::multiply(v, &weights, x, activation, y);
            }
        })
    }
}
