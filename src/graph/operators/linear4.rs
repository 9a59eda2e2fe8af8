//! Products with 4-bit weights, as the exporter's int4 format has them (ONNX Runtime's MatMulNBits
//! with blocks of 128).
//!
//! The kernel reads the weights as they lie in the file, mapped into memory, where ONNX Runtime
//! keeps a packed copy beside them; and it computes many rows (a prompt, many conversations) in half
//! the time.

use std::sync::Mutex;

use super::guard::{Call, Compute, Node, Operation};
use super::kernels::products4::{self, Quantized, TILE, Weights};
use super::kernels::{by_columns, keep_room, take_room};
use super::shape::{Dim::*, Input, Sizes};
use super::vectors::Vectors;

/// x [..., k], packed [n, k / 128, 64] (two weights a byte, 8 is zero), scales [n, k / 128]
/// -> x W^T [..., n]. Rows of x are quantised to 8 bits by blocks of 128 on the way.
pub(super) struct Linear4<V>(pub V);

/// Sizes beyond these are no model's, and sums of products of smaller ones cannot overflow.
const LARGEST: usize = 1 << 24;

impl<V: Vectors> Operation for Linear4<V> {
    type Kernel = Linear4Kernel<V>;

    const INPUTS: &'static [Input] = &[
        Input::f32("x", &[RowsOrNone("rows"), Times(128, "blocks")]),
        Input::u8("packed", &[Size("N"), Size("blocks"), Is(64)]),
        Input::f32("scales", &[Size("N"), Size("blocks")]),
    ];

    fn name(&self) -> &'static str {
        "Linear4"
    }

    fn kernel(&self, node: &Node) -> ort::Result<Linear4Kernel<V>> {
        let mut sizes = Sizes::default();
        if let Some(n) = node.integer("N", 1..LARGEST)? {
            sizes.bind("N", n);
        }
        if let Some(k) = node.integer("K", 1..LARGEST)? {
            if !k.is_multiple_of(128) {
                return Err(node.error(&format!("attribute K is {k}, expected a multiple of 128")));
            }
            sizes.bind("blocks", k / 128);
        }
        Ok(Linear4Kernel { v: self.0, sizes })
    }
}

pub(super) struct Linear4Kernel<V> {
    v: V,
    sizes: Sizes,
}

/// Rows of x from which weights are unpacked once for all of them.
const MANY: usize = 17;
/// Columns of y to compute at a time, of few rows.
const COLUMNS: usize = 64;
/// Pieces for each thread, so that one that was held up leaves some to the other.
const PIECES: usize = 8;

impl<V: Vectors> Compute for Linear4Kernel<V> {
    fn sizes(&self) -> Sizes {
        self.sizes
    }

    fn compute(&mut self, call: &Call) -> ort::Result<()> {
        let [rows, blocks, n] = ["rows", "blocks", "N"].map(|name| call.size(name));
        let weights = Weights::new(call.data(1)?, call.data(2)?, blocks);
        let weights = weights.ok_or_else(|| call.error("the weights do not fit their scales"))?;
        let mut shape = call.shape(0).to_vec();
        if let Some(last) = shape.last_mut() {
            *last = n as i64;
        }
        let mut y = call.output(0, &shape)?;
        if rows == 0 {
            return Ok(()); // of a head that no row needs
        }
        let (x, y) = (call.data(0)?, y.data()?);
        let mut quantized = take_room();
        let done = multiply(self.v, call, x, &weights, &mut quantized, y);
        keep_room(quantized);
        done
    }
}

fn multiply<V: Vectors>(
    v: V,
    call: &Call,
    x: &[f32],
    weights: &Weights,
    quantized: &mut Quantized,
    y: &mut [f32],
) -> ort::Result<()> {
    let rows = x.len() / weights.width();
    let pieces = quantized.start(rows, weights.width());
    if rows < MANY {
        for (row, mut piece) in pieces.into_iter().enumerate() {
            piece.fill(v, row, x);
        }
    } else {
        let pieces: Vec<_> = pieces.into_iter().map(Mutex::new).collect();
        call.par_for(rows, 0, |row| {
            if let Ok(mut piece) = pieces[row].lock() {
                piece.fill(v, row, x);
            }
        })?;
    }
    let quantized = &*quantized;
    let (n, step) = (weights.rows(), if rows < MANY { COLUMNS } else { TILE });
    by_columns(call, y, (n, step), PIECES, |columns| {
        if rows < MANY {
            products4::few_rows(v, weights, quantized, columns);
        } else {
            products4::many_rows(v, weights, quantized, columns);
        }
    })
}
