//! What the decoder has read so far: keys and values of every layer, row by row.
//!
//! Two layouts, as the graph was exported. *Shared*: one buffer of fixed capacity a layer, bound as
//! past and present at once, written in place, nothing copied or allocated in a step. *Concat*: each
//! step's present becomes the next past; a row's positions are the last ones of the tensor, what is
//! in front of them is masked filler, at least one position, so that no tensor is ever empty. In both
//! every row has its own length, rows come and go by [`KvCache::gather`] alone, and a row can forget
//! its last positions.
//!
//! On the host rows are copied as slices. On a device, and in fp16, a [`Mover`] copies them where they
//! are.

use std::sync::Arc;

use ort::value::DynTensor;

use super::mover::{Mover, Taken};
use super::session::zeros;
use crate::model::manifest::{DecoderDims, KvLayout};

/// Keys and values of some batch rows.
pub struct KvCache {
    pub(super) layout: KvLayout,
    /// Keys then values of each layer, [rows, n_kv_head, positions, head_size].
    pub(super) tensors: Vec<DynTensor>,
    /// Positions read, one a row.
    pub(super) lengths: Vec<usize>,
    n_kv_head: usize,
    head_size: usize,
    capacity: usize,
    /// What moves its rows; `None` where the host does.
    mover: Option<Arc<Mover>>,
}

/// Filler positions in front of a concat cache's longest row.
const CONCAT_FILLER: usize = 1;

impl KvCache {
    /// A cache of one row a length, for up to `capacity` positions each. What a row of a length
    /// above 0 has read is nothing but zeros: good for measuring.
    pub(super) fn new(
        dims: &DecoderDims,
        lengths: &[usize],
        capacity: usize,
        mover: Option<Arc<Mover>>,
    ) -> ort::Result<KvCache> {
        let positions = positions(dims.kv_cache, lengths, capacity);
        let shape = [lengths.len(), dims.n_kv_head, positions, dims.head_size];
        let tensors = match &mover {
            Some(mover) => mover.zeros(&shape),
            None => (0..2 * dims.n_layer)
                .map(|_| Ok(zeros::<f32>(&shape)?.upcast()))
                .collect(),
        };
        Ok(KvCache {
            layout: dims.kv_cache,
            tensors: tensors?,
            lengths: lengths.to_vec(),
            n_kv_head: dims.n_kv_head,
            head_size: dims.head_size,
            capacity,
            mover,
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

    /// Positions `row` has read.
    pub fn length(&self, row: usize) -> usize {
        self.lengths[row]
    }

    /// Forgets what `row` has read from position `length` on.
    pub fn truncate(&mut self, row: usize, length: usize) -> ort::Result<()> {
        if length >= self.lengths[row] {
            return Ok(());
        }
        if self.layout == KvLayout::Concat {
            let by = self.lengths[row] - length;
            match self.mover.clone() {
                Some(mover) => self.shift_there(&mover, by)?,
                None => self.shift(row, by)?,
            }
        }
        self.lengths[row] = length;
        Ok(())
    }

    /// Moves all towards the end by so many positions, over the last ones. A lone row: others would
    /// lose theirs.
    fn shift_there(&mut self, mover: &Mover, by: usize) -> ort::Result<()> {
        if self.rows() != 1 {
            return Err(ort::Error::new("only a lone row forgets on a device"));
        }
        let taken = Taken {
            rows: vec![0],
            positions: 0..self.tensors[0].shape()[2] as usize - by,
            around: [by, 0],
            from: &self.tensors,
        };
        self.tensors = mover.take([taken].into_iter())?;
        Ok(())
    }

    /// Moves what `row` has read towards the end by so many positions, over its last ones: in a
    /// concat cache a row ends where the tensor ends.
    fn shift(&mut self, row: usize, by: usize) -> ort::Result<()> {
        let (heads, size, length) = (self.n_kv_head, self.head_size, self.lengths[row]);
        for tensor in &mut self.tensors {
            let positions = tensor.shape()[2] as usize;
            let data = tensor.try_extract_tensor_mut::<f32>()?.1;
            let own = &mut data[row * heads * positions * size..][..heads * positions * size];
            for head in own.chunks_exact_mut(positions * size) {
                let start = positions - length;
                head.copy_within(start * size..(positions - by) * size, (start + by) * size);
            }
        }
        Ok(())
    }

    /// Positions of the longest row.
    pub fn longest(&self) -> usize {
        self.lengths.iter().max().copied().unwrap_or(0)
    }

    /// A new cache of copies of the given rows, in their order, for up to `capacity` positions each.
    pub fn gather(rows: &[(&KvCache, usize)], capacity: usize) -> ort::Result<KvCache> {
        let Some(&(like, _)) = rows.first() else {
            return Err(ort::Error::new("a cache needs a row"));
        };
        let lengths: Vec<_> = rows.iter().map(|&(from, row)| from.lengths[row]).collect();
        let positions = positions(like.layout, &lengths, capacity);
        let tensors = match &like.mover {
            Some(mover) => gathered_there(mover, rows, positions),
            None => (0..like.tensors.len())
                .map(|layer| gathered(rows, layer, positions))
                .collect(),
        };
        Ok(KvCache {
            layout: like.layout,
            tensors: tensors?,
            n_kv_head: like.n_kv_head,
            head_size: like.head_size,
            mover: like.mover.clone(),
            lengths,
            capacity,
        })
    }

    /// A cache of a copy of `row` alone, with no room for more.
    pub fn row(&self, row: usize) -> ort::Result<KvCache> {
        KvCache::gather(&[(self, row)], self.lengths[row])
    }

    /// Copies what `row` has read to `target` [n_kv_head, positions, head_size].
    fn copy_row(
        &self,
        layer: usize,
        row: usize,
        target: &mut [f32],
        positions: usize,
    ) -> ort::Result<()> {
        let (shape, data) = self.tensors[layer].try_extract_tensor::<f32>()?;
        let own_positions = shape[2] as usize;
        let length = self.lengths[row];
        let (from, to) = match self.layout {
            KvLayout::Shared => (0, 0),
            KvLayout::Concat => (own_positions - length, positions - length),
        };
        let head = own_positions * self.head_size;
        let own = &data[row * self.n_kv_head * head..][..self.n_kv_head * head];
        let heads = own
            .chunks_exact(head)
            .zip(target.chunks_exact_mut(positions * self.head_size));
        for (own, target) in heads {
            target[to * self.head_size..][..length * self.head_size]
                .copy_from_slice(&own[from * self.head_size..][..length * self.head_size]);
        }
        Ok(())
    }

    /// Rows of it, for a cache of so many positions: all but what is filler in both.
    fn taken(&self, rows: Vec<i64>, positions: usize) -> Taken<'_> {
        let own = self.tensors[0].shape()[2] as usize;
        let kept = own.min(positions);
        let missing = positions - kept;
        let (positions, around) = match self.layout {
            KvLayout::Shared => (0..kept, [0, missing]),
            KvLayout::Concat => (own - kept..own, [missing, 0]),
        };
        Taken {
            from: &self.tensors,
            rows,
            positions,
            around,
        }
    }
}

/// Rows, each of a cache.
type Rows<'r> = &'r [(&'r KvCache, usize)];

fn gathered(rows: Rows, layer: usize, positions: usize) -> ort::Result<DynTensor> {
    let like = rows[0].0;
    let shape = [rows.len(), like.n_kv_head, positions, like.head_size];
    let mut tensor = zeros::<f32>(&shape)?;
    let targets = tensor.extract_tensor_mut().1;
    let targets = targets.chunks_exact_mut(shape[1..].iter().product());
    for (target, &(from, row)) in targets.zip(rows) {
        from.copy_row(layer, row, target, positions)?;
    }
    Ok(tensor.upcast())
}

/// The same on a device: rows that follow each other in one cache are taken together.
fn gathered_there(mover: &Mover, rows: Rows, positions: usize) -> ort::Result<Vec<DynTensor>> {
    let groups = rows.chunk_by(|a, b| std::ptr::eq(a.0, b.0));
    mover.take(groups.map(|group| {
        let rows = group.iter().map(|&(_, row)| row as i64).collect();
        group[0].0.taken(rows, positions)
    }))
}

/// Positions of the tensors that hold rows of these lengths.
fn positions(layout: KvLayout, lengths: &[usize], capacity: usize) -> usize {
    match layout {
        KvLayout::Shared => capacity,
        KvLayout::Concat => CONCAT_FILLER + lengths.iter().max().copied().unwrap_or(0),
    }
}
