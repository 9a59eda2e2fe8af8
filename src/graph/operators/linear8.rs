//! Products with 8-bit weights, of many rows: an encoder's. ONNX Runtime's take half as long again,
//! pack a second copy of the weights when a session opens, and give all rows of x one scale.

use std::sync::Mutex;

use super::guard::{Call, Compute, Node, Operation};
use super::kernels::products8::{self, Activation, ROWS, TILE, Weights};
use super::shape::{Dim::*, Input};
use super::vectors::Vectors;

/// x [..., k], packed [n / 16, k / 4, 16, 4], scales [n], bias [n] -> x W^T + bias [..., n], or that
/// activated. Each row of x is quantised to 8 bits on the way.
pub(super) struct Linear8<V> {
    pub v: V,
    pub activation: Activation,
}

impl<V: Vectors> Operation for Linear8<V> {
    type Kernel = Linear8Kernel<V>;

    const INPUTS: &'static [Input] = &[
        Input::f32("x", &[Rows("rows"), Times(4, "fours")]),
        PACKED,
        SCALES,
        Input::f32("bias", &[Times(16, "tiles")]),
    ];

    fn name(&self) -> &'static str {
        match self.activation {
            Activation::None => "Linear8",
            Activation::Gelu => "Linear8Gelu",
        }
    }

    fn kernel(&self, node: &Node) -> ort::Result<Linear8Kernel<V>> {
        Ok(Linear8Kernel {
            v: self.v,
            activation: self.activation,
            packed: Packed::of(self.v, node, 1)?,
        })
    }
}

/// 8-bit weights as they lie in memory, and a scale for each of their columns.
pub(super) const PACKED: Input =
    Input::i8("packed", &[Size("tiles"), Size("fours"), Is(16), Is(4)]);
pub(super) const SCALES: Input = Input::f32("scales", &[Times(16, "tiles")]);

/// What is known of weights before a run; they are part of the model.
pub(super) struct Packed {
    /// Which input they are; scales and a bias follow.
    input: usize,
    /// Of the weights' columns.
    sums: Vec<[i32; TILE]>,
}

impl Packed {
    pub fn of(v: impl Vectors, node: &Node, input: usize) -> ort::Result<Packed> {
        let sums = node.constant(input, &PACKED, |sizes, packed| {
            let width = 4 * sizes.get("fours"); // no overflow: so many bytes are there
            products8::sums(v, packed, width)
        })?;
        Ok(Packed { input, sums })
    }

    /// The weights of a run.
    pub fn weights<'a>(&'a self, call: &'a Call) -> ort::Result<Weights<'a>> {
        let (i, width) = (self.input, 4 * call.size("fours"));
        let (scales, bias): (&[f32], &[f32]) = (call.data(i + 1)?, call.data(i + 2)?);
        let values = call.data(i)?;
        let (columns, biases) = (scales.len(), bias.len());
        let weights = Weights::new(values, scales, bias, &self.sums, width);
        weights.ok_or_else(|| match columns == biases {
            true => {
                let widest = products8::WIDEST;
                call.error(&format!("rows of x may have up to {widest} numbers"))
            }
            false => call.error(&format!(
                "{columns} columns of packed, {biases} numbers of its bias"
            )),
        })
    }
}

pub(super) struct Linear8Kernel<V> {
    v: V,
    activation: Activation,
    packed: Packed,
}

/// Most rows of a piece: in 8 bits they fit a core's cache beside the weights of a few columns.
const MOST: usize = 8 * ROWS;
/// Fewest pieces, where there are rows for them.
const PIECES: usize = 4;

impl<V: Vectors> Compute for Linear8Kernel<V> {
    fn compute(&mut self, call: &Call) -> ort::Result<()> {
        let (x, k) = (call.data::<f32>(0)?, 4 * call.size("fours"));
        let weights = self.packed.weights(call)?;
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
