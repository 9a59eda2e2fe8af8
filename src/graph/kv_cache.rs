//! What the decoder has read so far: keys and values of every layer, row by row.
//!
//! Two layouts, as the graph was exported. *Shared*: one buffer of fixed capacity a layer, bound as
//! past and present at once, written in place, nothing copied or allocated in a step. *Concat*: each
//! step's present becomes the next past. Rows of a shared cache have their own lengths; rows of a
//! concat cache grow together, and their first position is a masked filler, so that no tensor is
//! ever empty.

use ort::value::Tensor;

use super::session::zeros;
use crate::manifest::{DecoderDims, KvLayout};

/// Keys and values of `rows` batch rows.
pub struct KvCache {
    pub(crate) layout: KvLayout,
    /// Keys then values of each layer, [rows, n_kv_head, positions, head_size].
    pub(crate) tensors: Vec<Tensor<f32>>,
    /// Positions read, one a row.
    pub(crate) lengths: Vec<usize>,
    n_kv_head: usize,
    head_size: usize,
    capacity: usize,
}

/// Filler positions in front of a concat cache.
pub(crate) const CONCAT_FILLER: usize = 1;

impl KvCache {
    /// An empty cache of `rows` rows for up to `capacity` positions each.
    pub fn new(dims: &DecoderDims, rows: usize, capacity: usize) -> ort::Result<KvCache> {
        let positions = match dims.kv_cache {
            KvLayout::Shared => capacity,
            KvLayout::Concat => CONCAT_FILLER,
        };
        let shape = [rows, dims.n_kv_head, positions, dims.head_size];
        let tensors = (0..2 * dims.n_layer)
            .map(|_| zeros(&shape))
            .collect::<ort::Result<_>>()?;
        Ok(KvCache {
            layout: dims.kv_cache,
            tensors,
            lengths: vec![0; rows],
            n_kv_head: dims.n_kv_head,
            head_size: dims.head_size,
            capacity,
        })
    }

    /// Batch rows.
    pub fn rows(&self) -> usize {
        self.lengths.len()
    }

    /// Positions a row can hold.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// A new cache whose rows are copies of the given rows of this one.
    pub fn select(&self, rows: &[usize]) -> ort::Result<KvCache> {
        let tensors = self
            .tensors
            .iter()
            .map(|tensor| {
                let (shape, data) = tensor.extract_tensor();
                let positions = shape[2] as usize;
                let mut copy = zeros(&[rows.len(), self.n_kv_head, positions, self.head_size])?;
                let target = copy.extract_tensor_mut().1;
                for (to, &from) in rows.iter().enumerate() {
                    self.copy_row(data, from, target, to, positions);
                }
                Ok(copy)
            })
            .collect::<ort::Result<_>>()?;
        Ok(KvCache {
            layout: self.layout,
            tensors,
            lengths: rows.iter().map(|&row| self.lengths[row]).collect(),
            n_kv_head: self.n_kv_head,
            head_size: self.head_size,
            capacity: self.capacity,
        })
    }

    /// Copies the positions in use of row `from` of `data` to row `to` of `target`.
    fn copy_row(&self, data: &[f32], from: usize, target: &mut [f32], to: usize, positions: usize) {
        let used = match self.layout {
            KvLayout::Shared => self.lengths[from],
            KvLayout::Concat => positions,
        };
        let (head, used) = (positions * self.head_size, used * self.head_size);
        for h in 0..self.n_kv_head {
            let (source, sink) = (
                (from * self.n_kv_head + h) * head,
                (to * self.n_kv_head + h) * head,
            );
            target[sink..sink + used].copy_from_slice(&data[source..source + used]);
        }
    }
}
