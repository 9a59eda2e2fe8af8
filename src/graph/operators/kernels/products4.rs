//! Products of 8-bit rows and 4-bit weights.
//!
//! Weights are unsigned nibbles, 8 being zero: the sum of `(w - 8) a` is the sum of `w a` plus an
//! offset that only depends on the row. A block of 128 weights has one scale, as has each block of a
//! row; sums within a block are exact, across blocks in float.

use std::array::from_fn;

use super::super::vectors::{Fours, LANES, Vectors, vectorized};
use super::products::{pairs, tile_sums};
use super::room::{keep_room, take_room};
use super::{Columns, LIFT, SMALL, larger, largest, transpose};

/// Weights with one scale.
const BLOCK: usize = 128;
/// Vectors of a block, four weights of each column in one.
const FOURS: usize = BLOCK / 4;
/// Columns that [`many_rows`] computes at once.
pub(in super::super) const TILE: usize = LANES;
/// What a weight of zero is stored as.
const ZERO: i32 = 8;

/// A matrix [rows, width] in 4 bits.
pub(in super::super) struct Weights<'a> {
    /// [rows, blocks, 64]: weights 2 i and 2 i + 1 in the low and the high half of byte i.
    packed: &'a [[u8; BLOCK / 2]],
    /// [rows, blocks].
    scales: &'a [f32],
    blocks: usize,
}

impl<'a> Weights<'a> {
    /// `None` where the sizes do not fit each other.
    pub fn new(packed: &'a [u8], scales: &'a [f32], blocks: usize) -> Option<Weights<'a>> {
        let (packed, rest) = packed.as_chunks();
        let fits = (1..=usize::MAX / BLOCK).contains(&blocks)
            && scales.len().is_multiple_of(blocks)
            && scales.len() == packed.len()
            && rest.is_empty();
        fits.then_some(Weights {
            packed,
            scales,
            blocks,
        })
    }

    pub fn rows(&self) -> usize {
        self.scales.len() / self.blocks
    }

    pub fn width(&self) -> usize {
        self.blocks * BLOCK
    }

    /// The blocks of a row, with their scales.
    #[inline(always)]
    fn row(&self, row: usize) -> (&[[u8; BLOCK / 2]], &[f32]) {
        let at = row * self.blocks..(row + 1) * self.blocks;
        (&self.packed[at.clone()], &self.scales[at])
    }
}

/// 128 quantised values of a row, the even ones before the odd, as the halves of the weights' bytes
/// are unpacked.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Block([[i8; 4]; FOURS]);

/// What a block's values are worth, and what takes the weights' zero off its sum.
#[derive(Clone, Copy, Default)]
struct Worth {
    scale: f32,
    offset: i32,
}

/// The rows of x in 8 bits, [rows, blocks] of each.
#[derive(Default)]
pub(in super::super) struct Quantized {
    values: Vec<Block>,
    worth: Vec<Worth>,
    /// What a row's scales were divided by, [rows]: 1 unless they are huge.
    units: Vec<f32>,
    blocks: usize,
    rows: usize,
}

/// One row to fill.
pub(in super::super) struct Row<'a> {
    values: &'a mut [Block],
    worth: &'a mut [Worth],
    unit: &'a mut f32,
}

/// Scales above this are divided by it, and results multiplied: a result that a float can hold is a
/// sum of parts, of which one may be a thousand times larger. It is a power of two, which rounds
/// nothing.
const HUGE: f32 = (1_u64 << 60) as f32;

impl Quantized {
    /// Makes room for so many rows; what they are is not said yet.
    pub fn start(&mut self, rows: usize, width: usize) -> Vec<Row<'_>> {
        let blocks = width / BLOCK;
        self.values.resize(rows * blocks, Block([[0; 4]; FOURS]));
        self.worth.resize(rows * blocks, Worth::default());
        self.units.resize(rows, 1.0);
        (self.blocks, self.rows) = (blocks, rows);
        let values = self.values.chunks_exact_mut(blocks);
        let worth = self.worth.chunks_exact_mut(blocks);
        let rows = values.zip(worth).zip(&mut self.units);
        rows.map(|((values, worth), unit)| Row {
            values,
            worth,
            unit,
        })
        .collect()
    }

    /// The blocks of a row.
    #[inline(always)]
    fn row(&self, row: usize) -> (&[Block], &[Worth]) {
        let at = row * self.blocks..(row + 1) * self.blocks;
        (&self.values[at.clone()], &self.worth[at])
    }
}

impl Row<'_> {
    /// Quantises row `i` of x.
    pub fn fill<V: Vectors>(&mut self, v: V, i: usize, x: &[f32]) {
        let width = self.values.len() * BLOCK;
        let (blocks, _) = x[i * width..(i + 1) * width].as_chunks::<BLOCK>();
        let (values, worth) = (&mut *self.values, &mut *self.worth);
        vectorized!(v, quantize(blocks: &[[f32; BLOCK]], values: &mut [Block], worth: &mut [Worth]) -> ());
        *self.unit = 1.0;
        if self.worth.iter().any(|worth| worth.scale > HUGE) {
            *self.unit = HUGE;
            self.worth.iter_mut().for_each(|worth| worth.scale /= HUGE);
        }
    }
}

#[inline(always)]
fn quantize<V: Vectors>(v: V, x: &[[f32; BLOCK]], values: &mut [Block], worth: &mut [Worth]) {
    for ((x, values), worth) in x.iter().zip(values).zip(worth) {
        *worth = quantize_block(v, x, values);
    }
}

/// Quantises a block. The scale of a block that is not finite is no number.
#[inline(always)]
fn quantize_block<V: Vectors>(v: V, x: &[f32; BLOCK], to: &mut Block) -> Worth {
    let (x, _) = x.as_chunks::<LANES>();
    let mut most = v.splat_integer(0);
    for x in x {
        most = larger(v, most, v.load(x));
    }
    let most = largest(v, most);
    if most == 0.0 || !most.is_finite() {
        *to = Block([[0; 4]; FOURS]);
        let scale = if most == 0.0 { 0.0 } else { f32::NAN };
        return Worth { scale, offset: 0 };
    }
    let lift = if most < SMALL { LIFT } else { 1.0 };
    let scale = most * lift / 127.0;
    let inverse = v.splat(1.0 / scale);
    let mut bytes = [[0; LANES]; BLOCK / LANES];
    let mut sum = v.splat_integer(0);
    for (x, bytes) in x.iter().zip(&mut bytes) {
        let values = v.nearest(v.mul(v.mul(v.load(x), v.splat(lift)), inverse));
        sum = v.add_integers(sum, values);
        *bytes = v.low_bytes(values);
    }
    let to = to.0.as_flattened_mut();
    for (i, [even, odd]) in bytes.as_flattened().as_chunks().0.iter().enumerate() {
        (to[i], to[BLOCK / 2 + i]) = (*even, *odd);
    }
    Worth {
        scale: scale / lift,
        offset: -ZERO * v.integer_array(sum).iter().sum::<i32>(),
    }
}

/// Some columns of y, each weight read once for up to eight rows.
pub(in super::super) fn few_rows<V: Vectors>(v: V, w: &Weights, x: &Quantized, y: Columns) {
    assert!(y.range().end <= w.rows() && x.blocks == w.blocks);
    vectorized!(v, all_rows(w: &Weights<'_>, x: &Quantized, y: Columns<'_>) -> ());
}

#[inline(always)]
fn all_rows<V: Vectors>(v: V, w: &Weights, x: &Quantized, mut y: Columns) {
    let mut row = 0;
    while row < x.rows {
        row += match x.rows - row {
            8.. => some_rows::<V, 8>(v, w, x, row, &mut y),
            4.. => some_rows::<V, 4>(v, w, x, row, &mut y),
            2.. => some_rows::<V, 2>(v, w, x, row, &mut y),
            _ => some_rows::<V, 1>(v, w, x, row, &mut y),
        };
    }
}

/// `M` rows from `row` on; returns M.
#[inline(always)]
fn some_rows<V: Vectors, const M: usize>(
    v: V,
    w: &Weights,
    x: &Quantized,
    row: usize,
    y: &mut Columns,
) -> usize {
    let rows: [(&[Block], &[Worth]); M] = from_fn(|m| x.row(row + m));
    let columns = y.range();
    let mut to: [&mut [f32]; M] = y.rows(row);
    for (i, column) in columns.enumerate() {
        let (packed, scales) = w.row(column);
        let mut sums = [v.splat(0.0); M];
        for (b, (packed, scale)) in packed.iter().zip(scales).enumerate() {
            let weights = v.nibbles(v.packed(packed));
            for (sum, (values, worth)) in sums.iter_mut().zip(rows) {
                let worth = worth[b];
                let (halves, _) = values[b].0.as_chunks::<LANES>();
                let values = [v.bytes(&halves[0]), v.bytes(&halves[1])];
                let whole = v.add_products(v.one_integer(worth.offset), weights, values);
                *sum = v.fma(v.to_floats(whole), v.splat(scale * worth.scale), *sum);
            }
        }
        for (to, sum) in to.iter_mut().zip(sums) {
            to[i] = v.sum(sum);
        }
    }
    for (to, unit) in to.into_iter().zip(&x.units[row..]) {
        if *unit > 1.0 {
            to.iter_mut().for_each(|y| *y *= unit);
        }
    }
    M
}

/// The same for up to [`TILE`] columns, whose weights are unpacked once for all rows.
pub(in super::super) fn many_rows<V: Vectors>(v: V, w: &Weights, x: &Quantized, y: Columns) {
    let columns = y.range();
    if columns.len() < TILE {
        return few_rows(v, w, x, y);
    }
    assert!(columns.len() == TILE && columns.end <= w.rows() && x.blocks == w.blocks);
    let mut room = take_room::<Vec<Unpacked>>();
    room.resize(w.blocks, Unpacked::default());
    let tile = &mut room[..];
    vectorized!(v, tile_rows(w: &Weights<'_>, x: &Quantized, tile: &mut [Unpacked], y: Columns<'_>) -> ());
    keep_room(room);
}

#[inline(always)]
fn tile_rows<V: Vectors>(v: V, w: &Weights, x: &Quantized, tile: &mut [Unpacked], mut y: Columns) {
    for (b, block) in tile.iter_mut().enumerate() {
        unpack(v, w, y.range().start, b, block);
    }
    let mut row = 0;
    while row < x.rows {
        row += match pairs::<V>(x.rows - row) {
            4.. if V::PAIRS >= 4 => block_rows::<V, 4>(v, tile, x, row, &mut y),
            2.. if V::PAIRS >= 2 => block_rows::<V, 2>(v, tile, x, row, &mut y),
            _ => block_rows::<V, 1>(v, tile, x, row, &mut y),
        };
    }
}

/// A block of 16 columns, four weights of each in a vector.
#[derive(Clone, Default)]
struct Unpacked {
    weights: [Fours; FOURS],
    scales: [f32; TILE],
}

/// Block `b` of 16 columns from `first` on.
#[inline(always)]
fn unpack<V: Vectors>(v: V, w: &Weights, first: usize, b: usize, to: &mut Unpacked) {
    let mut halves = [[v.splat_integer(0); TILE]; 2];
    let [evens, odds] = &mut halves;
    for (n, (even, odd)) in evens.iter_mut().zip(odds).enumerate() {
        [*even, *odd] = v.nibbles(v.packed(&w.packed[(first + n) * w.blocks + b]));
    }
    for (rows, to) in halves
        .into_iter()
        .zip(to.weights.as_chunks_mut::<LANES>().0)
    {
        for (row, to) in transpose(v, rows).into_iter().zip(to) {
            *to = Fours(v.byte_array(row));
        }
    }
    to.scales = from_fn(|n| w.scales[(first + n) * w.blocks + b]);
}

/// 16 columns of `PAIRS` pairs of rows from `row` on; returns how many rows these are.
#[inline(always)]
fn block_rows<V: Vectors, const PAIRS: usize>(
    v: V,
    tile: &[Unpacked],
    x: &Quantized,
    row: usize,
    y: &mut Columns,
) -> usize {
    let mut rows = [[x.row(row); 2]; PAIRS];
    for p in 0..PAIRS {
        for r in 0..2 {
            rows[p][r] = x.row((row + 2 * p + r).min(x.rows - 1));
        }
    }
    let mut sums = [[v.splat(0.0); 2]; PAIRS];
    for (b, block) in tile.iter().enumerate() {
        let mut values = [[&rows[0][0].0[b].0[..]; 2]; PAIRS];
        let mut offsets = [[[v.splat_integer(0); 2]; 1]; PAIRS];
        for p in 0..PAIRS {
            for r in 0..2 {
                values[p][r] = &rows[p][r].0[b].0;
                offsets[p][0][r] = v.splat_integer(rows[p][r].1[b].offset);
            }
        }
        let found = tile_sums::<V, V::Small, Fours, PAIRS, 1>(v, values, [&block.weights], offsets);
        let scales = v.load(&block.scales);
        for p in 0..PAIRS {
            for r in 0..2 {
                let both = v.mul(scales, v.splat(rows[p][r].1[b].scale));
                sums[p][r] = v.fma(v.to_floats(found[p][0][r]), both, sums[p][r]);
            }
        }
    }
    let left = (x.rows - row).min(2 * PAIRS);
    for p in 0..PAIRS {
        for r in 0..2 {
            if 2 * p + r < left {
                let row = row + 2 * p + r;
                let [to] = y.rows(row);
                to.copy_from_slice(&v.array(v.mul(sums[p][r], v.splat(x.units[row]))));
            }
        }
    }
    left
}
