//! Attention of every query to every key in 8 bits: an encoder's, whose 1500 positions make it half
//! of its work.
//!
//! Softmax does not change when all keys move by the same vector, so their mean is taken off before
//! they are rounded, as it is off the values, whose weights sum to one (both as SageAttention does).
//! Queries and keys have a scale each, values one for each dimension. Weights are a byte each, of the
//! largest among 128 keys, not among all, which most are far below; and where to round up is spread
//! evenly over neighbours, so that many small weights do not all vanish.

mod attend;
mod round;

use super::super::vectors::{Fours, LANES, Vectors, vectorized};
use super::Columns;
use super::room::{keep_room, take_room};

/// Dimensions of a head.
pub(in super::super) const HEAD: usize = 64;
/// Vectors of a head.
const PARTS: usize = HEAD / LANES;
/// Queries at a time.
const ROWS: usize = 8;
/// Keys whose weights are relative to the largest among them.
const BLOCK: usize = 128;

/// Queries, keys and values of all heads: [rows, width] of each, a head's 64 columns side by side.
pub(in super::super) struct Heads<'a> {
    pub queries: &'a [f32],
    pub keys: &'a [f32],
    pub values: &'a [f32],
    pub width: usize,
    /// What is added to each key's score: the logarithm of how many keys it stands for.
    pub log_counts: Option<&'a [f32]>,
}

/// One head's keys and values, rounded, and room for the scores of a few queries.
#[derive(Default)]
struct Head {
    /// [keys / 16, dimensions / 4].
    keys: Vec<Fours>,
    key_scales: Vec<[f32; LANES]>,
    /// What sums of products with keys begin with.
    key_starts: Vec<[i32; LANES]>,
    /// [blocks, dimensions / 16, keys of a block / 4]; zeros behind the last key.
    values: Vec<Fours>,
    value_scales: [[f32; LANES]; PARTS],
    value_means: [[f32; LANES]; PARTS],
    /// [blocks, dimensions / 16].
    value_starts: Vec<[i32; LANES]>,
    /// [queries, keys / 16], times the query's scale and `unit`.
    scores: Vec<[f32; LANES]>,
    /// The largest score of each block, [blocks, queries].
    most: Vec<[f32; ROWS]>,
    /// What the keys' scales were divided by, 1 unless they are huge.
    unit: f32,
    /// [keys / 16]; empty where every key stands for itself alone.
    log_counts: Vec<[f32; LANES]>,
    n: usize,
}

/// Writes one head's columns of y [queries, width].
pub(in super::super) fn attend<V: Vectors>(v: V, heads: &Heads, mut y: Columns) {
    let columns = y.range();
    assert!(columns.len() == HEAD && columns.end <= heads.width);
    assert!(heads.keys.len() == heads.values.len() && heads.keys.len() >= heads.width);
    let mut room = take_room::<Head>();
    let (head, y) = (&mut *room, &mut y);
    vectorized!(v, attend_head(head: &mut Head, heads: &Heads<'_>, y: &mut Columns<'_>) -> ());
    keep_room(room);
}

#[inline(always)]
fn attend_head<V: Vectors>(v: V, head: &mut Head, heads: &Heads, y: &mut Columns) {
    let (width, start) = (heads.width, y.range().start);
    let of = |rows| Rows { rows, width, start };
    head.round(v, of(heads.keys), of(heads.values));
    head.count(heads.log_counts);
    let queries: Vec<_> = of(heads.queries).iter().collect();
    for (i, queries) in queries.chunks(ROWS).enumerate() {
        head.attend(v, queries, i * ROWS, y);
    }
}

/// A head's columns of [rows, width].
#[derive(Clone, Copy)]
struct Rows<'a> {
    rows: &'a [f32],
    width: usize,
    start: usize,
}

impl<'a> Rows<'a> {
    fn len(self) -> usize {
        self.rows.len() / self.width
    }

    #[inline(always)]
    fn iter(self) -> impl Iterator<Item = &'a [[f32; LANES]; PARTS]> {
        let rows = self.rows.chunks_exact(self.width);
        rows.filter_map(move |row| row[self.start..].as_chunks().0.first_chunk())
    }
}
