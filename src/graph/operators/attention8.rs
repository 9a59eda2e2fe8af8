//! Attention in 8 bits, for an encoder that is exported in int8: ONNX Runtime computes it in float.

use super::guard::{Call, Compute, Node, Operation};
use super::kernels::attention::{HEAD, Heads, attend};
use super::kernels::by_columns;
use super::shape::{Dim::*, Input, Sizes};
use super::vectors::Vectors;

/// Queries [1, m, width], keys and values [1, n, width] -> attention's output [1, m, width]; heads
/// of 64 side by side. The queries are scaled beforehand.
pub(super) struct Attention8<V>(pub V);

/// The same with log counts [n]: each key is weighed as if it were there so many times.
pub(super) struct CountedAttention8<V>(pub V);

const QUERIES: Input = Input::f32("queries", &[Is(1), Size("m"), Times(HEAD, "num_heads")]);
const KEYS: Input = Input::f32("keys", &[Is(1), Size("n"), Times(HEAD, "num_heads")]);
const VALUES: Input = Input::f32("values", &[Is(1), Size("n"), Times(HEAD, "num_heads")]);
const LOG_COUNTS: Input = Input::f32("log_counts", &[Size("n")]);

/// More heads than any model has.
const HEADS: usize = 1 << 16;

impl<V: Vectors> Operation for Attention8<V> {
    type Kernel = Attention8Kernel<V>;

    const INPUTS: &'static [Input] = &[QUERIES, KEYS, VALUES];

    fn name(&self) -> &'static str {
        "Attention8"
    }

    fn kernel(&self, node: &Node) -> ort::Result<Attention8Kernel<V>> {
        Attention8Kernel::new(self.0, node, false)
    }
}

impl<V: Vectors> Operation for CountedAttention8<V> {
    type Kernel = Attention8Kernel<V>;

    const INPUTS: &'static [Input] = &[QUERIES, KEYS, VALUES, LOG_COUNTS];

    fn name(&self) -> &'static str {
        "CountedAttention8"
    }

    fn kernel(&self, node: &Node) -> ort::Result<Attention8Kernel<V>> {
        Attention8Kernel::new(self.0, node, true)
    }
}

pub(super) struct Attention8Kernel<V> {
    v: V,
    sizes: Sizes,
    counted: bool,
}

impl<V: Vectors> Attention8Kernel<V> {
    fn new(v: V, node: &Node, counted: bool) -> ort::Result<Attention8Kernel<V>> {
        let mut sizes = Sizes::default();
        if let Some(heads) = node.integer("num_heads", 1..HEADS)? {
            sizes.bind("num_heads", heads);
        }
        Ok(Attention8Kernel { v, sizes, counted })
    }
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
            log_counts: self.counted.then(|| call.data(3)).transpose()?,
        };
        let mut y = call.output(0, call.shape(0))?;
        let split = (heads.width, HEAD);
        by_columns(call, y.data()?, split, n, |columns| {
            attend(self.v, &heads, columns);
        })
    }
}
