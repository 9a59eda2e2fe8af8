//! Attention in 8 bits, for an encoder that is exported in int8: ONNX Runtime computes it in float.

use super::guard::{Call, Compute, Node, Operation};
use super::kernels::attention::{HEAD, Heads, attend};
use super::kernels::by_columns;
use super::shape::{Dim::*, Input, Sizes};
use super::vectors::Vectors;

/// Queries [1, m, width], keys and values [1, n, width] -> attention's output [1, m, width]; heads
/// of 64 side by side. The queries are scaled beforehand.
pub(super) struct Attention8<V>(pub V);

/// More heads than any model has.
const HEADS: usize = 1 << 16;

impl<V: Vectors> Operation for Attention8<V> {
    type Kernel = Attention8Kernel<V>;

    const INPUTS: &'static [Input] = &[
        Input::f32("queries", &[Is(1), Size("m"), Times(HEAD, "num_heads")]),
        Input::f32("keys", &[Is(1), Size("n"), Times(HEAD, "num_heads")]),
        Input::f32("values", &[Is(1), Size("n"), Times(HEAD, "num_heads")]),
    ];

    fn name(&self) -> &'static str {
        "Attention8"
    }

    fn kernel(&self, node: &Node) -> ort::Result<Attention8Kernel<V>> {
        let mut sizes = Sizes::default();
        if let Some(heads) = node.integer("num_heads", 1..HEADS)? {
            sizes.bind("num_heads", heads);
        }
        Ok(Attention8Kernel { v: self.0, sizes })
    }
}

pub(super) struct Attention8Kernel<V> {
    v: V,
    sizes: Sizes,
}

impl<V: Vectors> Compute for Attention8Kernel<V> {
    fn sizes(&self) -> Sizes {
        self.sizes
    }

    fn compute(&mut self, call: &Call) -> ort::Result<()> {
        let n = call.size("num_heads");
        let heads = Heads {
            queries: call.data(0)?,
            keys: call.data(1)?,
            values: call.data(2)?,
            width: n * HEAD,
        };
        let mut y = call.output(0, call.shape(0))?;
        let split = (heads.width, HEAD);
        by_columns(call, y.data()?, split, n, |columns| {
            attend(self.v, &heads, columns);
        })
    }
}
