//! Products of 8-bit rows and 4-bit weights.
//!
//! Weights are unsigned nibbles, 8 being zero: the sum of `(w - 8) a` is the sum of `w a` plus an
//! offset that only depends on the row. A block of 128 weights has one scale, as has each block of a
//! row; sums within a block are exact, across blocks in float.

use std::ops::Range;

use super::{Avx512, Columns};

/// Weights with one scale.
const BLOCK: usize = 128;
/// Columns that [`many_rows`] computes at once.
pub(in super::super) const TILE: usize = 16;
/// What a weight of zero is stored as.
const ZERO: i32 = 8;

/// A matrix [rows, width] in 4 bits.
pub(in super::super) struct Weights<'a> {
    /// [rows, blocks, 64]: weights 2 i and 2 i + 1 in the low and the high half of byte i.
    packed: &'a [u8],
    /// [rows, blocks].
    scales: &'a [f32],
    blocks: usize,
}

impl<'a> Weights<'a> {
    /// `None` where the sizes do not fit each other.
    pub fn new(packed: &'a [u8], scales: &'a [f32], blocks: usize) -> Option<Weights<'a>> {
        let fits = (1..=usize::MAX / BLOCK).contains(&blocks)
            && scales.len().is_multiple_of(blocks)
            && scales.len().checked_mul(BLOCK / 2) == Some(packed.len());
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
}

/// 128 quantised values of a row, apart as the halves of the weights' bytes are.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Block {
    even: [i8; 64],
    odd: [i8; 64],
}

/// The rows of x in 8 bits, [rows, blocks] of each.
#[derive(Default)]
pub(in super::super) struct Quantized {
    values: Vec<Block>,
    scales: Vec<f32>,
    /// What takes the weights' zero off a block's sum.
    offsets: Vec<i32>,
    /// What a row's scales were divided by, [rows]: 1 unless they are huge.
    units: Vec<f32>,
    blocks: usize,
    rows: usize,
}

/// One row to fill.
pub(in super::super) struct Row<'a> {
    values: &'a mut [Block],
    scales: &'a mut [f32],
    offsets: &'a mut [i32],
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
        let zero = Block {
            even: [0; 64],
            odd: [0; 64],
        };
        self.values.resize(rows * blocks, zero);
        self.scales.resize(rows * blocks, 0.0);
        self.offsets.resize(rows * blocks, 0);
        self.units.resize(rows, 1.0);
        (self.blocks, self.rows) = (blocks, rows);
        let values = self.values.chunks_exact_mut(blocks);
        let scales = self.scales.chunks_exact_mut(blocks);
        let offsets = self.offsets.chunks_exact_mut(blocks);
        let rows = values.zip(scales).zip(offsets).zip(&mut self.units);
        rows.map(|(((values, scales), offsets), unit)| Row {
            values,
            scales,
            offsets,
            unit,
        })
        .collect()
    }
}

impl Row<'_> {
    /// Quantises row `i` of x.
    pub fn fill(&mut self, _: Avx512, i: usize, x: &[f32]) {
        let width = self.values.len() * BLOCK;
        let (blocks, _) = x[i * width..(i + 1) * width].as_chunks::<BLOCK>();
        for (b, x) in blocks.iter().enumerate() {
            // SAFETY: the token proves that the instructions are there.
            let (scale, sum) = unsafe { x86::quantize(x, &mut self.values[b]) };
            self.scales[b] = scale;
            self.offsets[b] = -ZERO * sum;
        }
        *self.unit = 1.0;
        if self.scales.iter().any(|&scale| scale > HUGE) {
            *self.unit = HUGE;
            self.scales.iter_mut().for_each(|scale| *scale /= HUGE);
        }
    }
}

/// Some columns of y, each weight read once for up to eight rows.
pub(in super::super) fn few_rows(_: Avx512, w: &Weights, x: &Quantized, mut y: Columns) {
    assert!(y.range().end <= w.rows() && x.blocks == w.blocks);
    let mut row = 0;
    while row < x.rows {
        // SAFETY: the token proves that the instructions are there; x and w have as many blocks, y's
        // columns are rows of w, and a match takes no more rows of x than are left.
        row += unsafe {
            match x.rows - row {
                8.. => x86::few_rows::<8>(w, x, row, &mut y),
                4.. => x86::few_rows::<4>(w, x, row, &mut y),
                2.. => x86::few_rows::<2>(w, x, row, &mut y),
                _ => x86::few_rows::<1>(w, x, row, &mut y),
            }
        };
    }
}

/// The same for up to [`TILE`] columns, whose weights are unpacked once for all rows.
pub(in super::super) fn many_rows(avx512: Avx512, w: &Weights, x: &Quantized, mut y: Columns) {
    let columns = y.range();
    if columns.len() < TILE {
        return few_rows(avx512, w, x, y);
    }
    assert!(columns.len() == TILE && columns.end <= w.rows() && x.blocks == w.blocks);
    // SAFETY: the token proves that the instructions are there; sizes are as asserted.
    unsafe { x86::many_rows(w, x, columns, &mut y) }
}

mod x86 {
    use std::arch::x86_64::*;
    use std::cell::RefCell;

    use super::super::{LIFT, SMALL, largest, transpose};
    use super::*;

    /// Four weights in a row of each of 16 columns.
    #[derive(Clone, Copy)]
    #[repr(C, align(64))]
    pub(super) struct Fours([u8; 64]);

    thread_local! {
        /// A tile's weights, [blocks, even and odd, 16].
        static UNPACKED: RefCell<Vec<Fours>> = const { RefCell::new(Vec::new()) };
    }

    /// Quantises a block; returns its scale and the sum of its values. The scale of a block that is
    /// not finite is no number.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) fn quantize(x: &[f32; BLOCK], to: &mut Block) -> (f32, i32) {
        let x: [__m512; 8] =
            // SAFETY: 8 vectors of 16 are the block's 128.
            std::array::from_fn(|i| unsafe { _mm512_loadu_ps(x.as_ptr().add(16 * i)) });
        let most = x
            .iter()
            .fold(_mm512_setzero_si512(), |most, &x| largest(most, x));
        let most = f32::from_bits(_mm512_reduce_max_epu32(most));
        if most == 0.0 || !most.is_finite() {
            (to.even, to.odd) = ([0; 64], [0; 64]);
            return (if most == 0.0 { 0.0 } else { f32::NAN }, 0);
        }
        let lift = if most < SMALL { LIFT } else { 1.0 };
        let x = x.map(|x| _mm512_mul_ps(x, _mm512_set1_ps(lift)));
        let scale = most * lift / 127.0;
        let inverse = _mm512_set1_ps(1.0 / scale);
        let evens = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
        let odds = _mm512_add_epi32(evens, _mm512_set1_epi32(1));
        let mut sum = _mm512_setzero_si512();
        for i in 0..4 {
            let (a, b) = (x[2 * i], x[2 * i + 1]);
            for (which, to) in [(evens, &mut to.even), (odds, &mut to.odd)] {
                let values = _mm512_mul_ps(_mm512_permutex2var_ps(a, which, b), inverse);
                let values = _mm512_cvtps_epi32(values);
                sum = _mm512_add_epi32(sum, values);
                // SAFETY: i is below 4, so 16 bytes from 16 i on are within the 64.
                unsafe {
                    let to = to.as_mut_ptr().add(16 * i).cast();
                    _mm_storeu_si128(to, _mm512_cvtsepi32_epi8(values));
                }
            }
        }
        (scale / lift, _mm512_reduce_add_epi32(sum))
    }

    /// The even and the odd weights of a block.
    ///
    /// # Safety
    ///
    /// 64 bytes are there.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn nibbles(packed: *const u8) -> [__m512i; 2] {
        let low = _mm512_set1_epi8(15);
        // SAFETY: the caller's promise.
        let bytes = unsafe { _mm512_loadu_si512(packed.cast()) };
        let high = _mm512_srli_epi16(bytes, 4);
        [_mm512_and_si512(bytes, low), _mm512_and_si512(high, low)]
    }

    /// `M` rows from `first` on; returns M.
    ///
    /// # Safety
    ///
    /// x has rows up to first + M and as many blocks as w, and y's columns are rows of w.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) unsafe fn few_rows<const M: usize>(
        w: &Weights,
        x: &Quantized,
        first: usize,
        y: &mut Columns,
    ) -> usize {
        let blocks = w.blocks;
        let at = |m: usize| (first + m) * blocks;
        let columns = y.range();
        let to: [*mut f32; M] = std::array::from_fn(|m| y.at(first + m, &columns));
        for (i, column) in columns.clone().enumerate() {
            let mut sums = [_mm512_setzero_ps(); M];
            // SAFETY: by the caller's promise rows up to first + M are x's and the column is one of w's
            // rows; b is below the number of blocks of either, and a block of w has 64 bytes.
            unsafe {
                let packed = w.packed.as_ptr().add(column * blocks * 64);
                let scales = w.scales.as_ptr().add(column * blocks);
                for b in 0..blocks {
                    let [even, odd] = nibbles(packed.add(b * 64));
                    let scale = *scales.add(b);
                    for (m, sum) in sums.iter_mut().enumerate() {
                        let at = at(m) + b;
                        let a = x.values.as_ptr().add(at);
                        let offset = _mm_cvtsi32_si128(*x.offsets.as_ptr().add(at));
                        let mut s = _mm512_zextsi128_si512(offset);
                        s = _mm512_dpbusd_epi32(
                            s,
                            even,
                            _mm512_load_si512((*a).even.as_ptr().cast()),
                        );
                        s = _mm512_dpbusd_epi32(
                            s,
                            odd,
                            _mm512_load_si512((*a).odd.as_ptr().cast()),
                        );
                        let both = _mm512_set1_ps(scale * *x.scales.as_ptr().add(at));
                        *sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(s), both, *sum);
                    }
                }
            }
            for (sum, to) in sums.into_iter().zip(to) {
                // SAFETY: `at` compared the row and all columns with the matrix's; these columns are
                // this thread's alone, as `y` is, and `i` is below their number.
                unsafe { *to.add(i) = _mm512_reduce_add_ps(sum) }
            }
        }
        for (m, to) in to.into_iter().enumerate() {
            let unit = x.units[first + m];
            if unit > 1.0 {
                for i in 0..columns.len() {
                    // SAFETY: as above.
                    unsafe { *to.add(i) *= unit }
                }
            }
        }
        M
    }

    /// 16 columns of all rows.
    ///
    /// # Safety
    ///
    /// The columns are 16 of y's and rows of w, and x has as many blocks as w.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) unsafe fn many_rows(
        w: &Weights,
        x: &Quantized,
        columns: Range<usize>,
        y: &mut Columns,
    ) {
        UNPACKED.with_borrow_mut(|unpacked| {
            unpacked.resize(w.blocks * 32, Fours([0; 64]));
            // SAFETY: the columns are rows of w, by the caller's promise.
            unsafe { unpack(w, columns.start, unpacked) };
            let scales: Vec<[f32; TILE]> = (0..w.blocks)
                .map(|b| std::array::from_fn(|n| w.scales[(columns.start + n) * w.blocks + b]))
                .collect();
            let mut row = 0;
            while row < x.rows {
                // SAFETY: a match takes no more rows of x than are left; the rest is the caller's promise.
                row += unsafe {
                    match x.rows - row {
                        8.. => tile::<8>(unpacked, &scales, x, row, &columns, y),
                        4.. => tile::<4>(unpacked, &scales, x, row, &columns, y),
                        2.. => tile::<2>(unpacked, &scales, x, row, &columns, y),
                        _ => tile::<1>(unpacked, &scales, x, row, &columns, y),
                    }
                };
            }
        });
    }

    /// Weights of 16 columns from `first` on, so that a vector has four of each.
    ///
    /// # Safety
    ///
    /// w has rows up to first + 16.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn unpack(w: &Weights, first: usize, to: &mut [Fours]) {
        for b in 0..w.blocks {
            let mut halves = [[_mm512_setzero_si512(); TILE]; 2];
            let [evens, odds] = &mut halves;
            for (n, (even, odd)) in evens.iter_mut().zip(odds).enumerate() {
                let at = ((first + n) * w.blocks + b) * 64;
                // SAFETY: w has the row, by the caller's promise, and b is below its blocks, of 64 bytes.
                [*even, *odd] = unsafe { nibbles(w.packed.as_ptr().add(at)) };
            }
            for (half, rows) in halves.into_iter().enumerate() {
                let turned = transpose(rows);
                for (to, row) in to[b * 32 + half * 16..][..16].iter_mut().zip(turned) {
                    // SAFETY: a `Fours` has 64 bytes and is aligned to as many.
                    unsafe { _mm512_store_si512(to.0.as_mut_ptr().cast(), row) };
                }
            }
        }
    }

    /// 16 columns of `M` rows from `first` on; returns M.
    ///
    /// # Safety
    ///
    /// x has rows up to first + M, `unpacked` 32 vectors for each of its blocks, and the columns are
    /// 16 of y's.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn tile<const M: usize>(
        unpacked: &[Fours],
        scales: &[[f32; TILE]],
        x: &Quantized,
        first: usize,
        columns: &Range<usize>,
        y: &mut Columns,
    ) -> usize {
        let mut sums = [_mm512_setzero_ps(); M];
        for (b, (weights, scales)) in unpacked.chunks_exact(32).zip(scales).enumerate() {
            // SAFETY: rows up to first + M are x's and b is below its number of blocks, by the caller's
            // promise. A `Block` is 128 bytes, the evens before the odds: 32 times 4, j below 32.
            unsafe {
                let a: [*const Block; M] =
                    std::array::from_fn(|m| x.values.as_ptr().add((first + m) * x.blocks + b));
                let mut s: [__m512i; M] = std::array::from_fn(|m| {
                    _mm512_set1_epi32(*x.offsets.as_ptr().add((first + m) * x.blocks + b))
                });
                for (j, weights) in weights.iter().enumerate() {
                    let weights = _mm512_load_si512(weights.0.as_ptr().cast());
                    for (s, a) in s.iter_mut().zip(a) {
                        let four = *a.cast::<i32>().add(j);
                        *s = _mm512_dpbusd_epi32(*s, weights, _mm512_set1_epi32(four));
                    }
                }
                let scales = _mm512_loadu_ps(scales.as_ptr());
                for (m, (sum, s)) in sums.iter_mut().zip(s).enumerate() {
                    let scale = *x.scales.as_ptr().add((first + m) * x.blocks + b);
                    let both = _mm512_mul_ps(scales, _mm512_set1_ps(scale));
                    *sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(s), both, *sum);
                }
            }
        }
        for (m, sum) in sums.into_iter().enumerate() {
            let sum = _mm512_mul_ps(sum, _mm512_set1_ps(x.units[first + m]));
            // SAFETY: `at` compares the row and the columns with the matrix's; they are 16, and this
            // thread's alone, as `y` is.
            unsafe { _mm512_storeu_ps(y.at(first + m, columns), sum) };
        }
        M
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers in -1..1 that look random.
    fn draws(n: usize, seed: u32) -> Vec<f32> {
        let mut state = seed;
        let mut draw = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..n).map(|_| draw()).collect()
    }

    #[test]
    fn few_and_many_rows_are_the_plain_product() {
        let Some(avx512) = Avx512::detect() else {
            return;
        };
        let (width, columns) = (3 * BLOCK, 37);
        let packed: Vec<u8> = draws(columns * width / 2, 1)
            .iter()
            .map(|x| (x * 127.9 + 128.0) as u8)
            .collect();
        let scales = draws(columns * 3, 2);
        let w = Weights::new(&packed, &scales, width / BLOCK).expect("sizes that fit");
        for rows in [1, 2, 3, 8, 15, 29] {
            let x = draws(rows * width, 3);
            let mut quantized = Quantized::default();
            for (i, mut row) in quantized.start(rows, width).into_iter().enumerate() {
                row.fill(avx512, i, &x);
            }
            let exact = |row: usize, column: usize| -> f64 {
                (0..width)
                    .map(|k| {
                        let byte = packed[(column * width + k) / 2];
                        let weight =
                            i32::from(if k % 2 == 0 { byte & 15 } else { byte >> 4 }) - ZERO;
                        let scale = scales[column * 3 + k / BLOCK];
                        f64::from(x[row * width + k]) * f64::from(weight) * f64::from(scale)
                    })
                    .sum()
            };
            let (mut few, mut many) = (vec![0.0; rows * columns], vec![0.0; rows * columns]);
            let all = Columns::part(&mut few, columns, 0..columns);
            few_rows(avx512, &w, &quantized, all);
            for first in (0..columns).step_by(TILE) {
                let some = first..columns.min(first + TILE);
                let some = Columns::part(&mut many, columns, some);
                many_rows(avx512, &w, &quantized, some);
            }
            for row in 0..rows {
                for column in 0..columns {
                    let (exact, i) = (exact(row, column), row * columns + column);
                    let off = f64::from(few[i]) - exact;
                    assert!(off.abs() < 0.5, "{off} from {exact}");
                    assert!((few[i] - many[i]).abs() < 1e-3, "{} {}", few[i], many[i]);
                }
            }
        }
    }
}
