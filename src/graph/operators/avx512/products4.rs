//! Products of 8-bit rows and 4-bit weights.
//!
//! Weights are unsigned nibbles, 8 being zero: the sum of `(w - 8) a` is the sum of `w a` plus an
//! offset that only depends on the row. A block of 128 weights has one scale, as has each block of a
//! row; sums within a block are exact, across blocks in float.

use std::ops::Range;

use super::Shared;

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
    pub fn new(packed: &'a [u8], scales: &'a [f32], width: usize) -> Option<Weights<'a>> {
        let blocks = width / BLOCK;
        let fits = blocks > 0
            && width.is_multiple_of(BLOCK)
            && scales.len().is_multiple_of(blocks)
            && packed.len() == scales.len() * BLOCK / 2;
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
    blocks: usize,
    rows: usize,
}

/// One row to fill.
pub(in super::super) struct Row<'a> {
    values: &'a mut [Block],
    scales: &'a mut [f32],
    offsets: &'a mut [i32],
}

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
        (self.blocks, self.rows) = (blocks, rows);
        let values = self.values.chunks_exact_mut(blocks);
        let scales = self.scales.chunks_exact_mut(blocks);
        let offsets = self.offsets.chunks_exact_mut(blocks);
        let rows = values.zip(scales).zip(offsets);
        rows.map(|((values, scales), offsets)| Row {
            values,
            scales,
            offsets,
        })
        .collect()
    }
}

impl Row<'_> {
    /// Quantises row `i` of x.
    pub fn fill(&mut self, i: usize, x: &[f32]) {
        let width = self.values.len() * BLOCK;
        let (blocks, _) = x[i * width..(i + 1) * width].as_chunks::<BLOCK>();
        for (b, x) in blocks.iter().enumerate() {
            // SAFETY: the operator is registered only where the instructions are.
            let (scale, sum) = unsafe { x86::quantize(x, &mut self.values[b]) };
            self.scales[b] = scale;
            self.offsets[b] = -ZERO * sum;
        }
    }
}

/// Columns `columns` of y, each weight read once for up to eight rows. Threads that share y must
/// write different columns.
pub(in super::super) fn few_rows(w: &Weights, x: &Quantized, columns: Range<usize>, y: &Shared) {
    assert!(columns.end <= w.rows() && x.blocks == w.blocks);
    let mut row = 0;
    while row < x.rows {
        // SAFETY: the operator is registered only where the instructions are; sizes are as asserted.
        row += unsafe {
            match x.rows - row {
                8.. => x86::few_rows::<8>(w, x, row, columns.clone(), y),
                4.. => x86::few_rows::<4>(w, x, row, columns.clone(), y),
                2.. => x86::few_rows::<2>(w, x, row, columns.clone(), y),
                _ => x86::few_rows::<1>(w, x, row, columns.clone(), y),
            }
        };
    }
}

/// The same for up to [`TILE`] columns, whose weights are unpacked once for all rows.
pub(in super::super) fn many_rows(w: &Weights, x: &Quantized, columns: Range<usize>, y: &Shared) {
    if columns.len() < TILE {
        return few_rows(w, x, columns, y);
    }
    assert!(columns.len() == TILE && columns.end <= w.rows() && x.blocks == w.blocks);
    // SAFETY: as in `few_rows`.
    unsafe { x86::many_rows(w, x, columns, y) }
}

mod x86 {
    use std::arch::x86_64::*;
    use std::cell::RefCell;

    use super::super::transpose;
    use super::*;

    /// Four weights in a row of each of 16 columns.
    #[derive(Clone, Copy)]
    #[repr(C, align(64))]
    pub(super) struct Fours([u8; 64]);

    thread_local! {
        /// A tile's weights, [blocks, even and odd, 16].
        static UNPACKED: RefCell<Vec<Fours>> = const { RefCell::new(Vec::new()) };
    }

    /// Quantises a block; returns its scale and the sum of its values.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) unsafe fn quantize(x: &[f32; BLOCK], to: &mut Block) -> (f32, i32) {
        let x: [__m512; 8] =
            // SAFETY: 8 vectors of 16 are the block.
            std::array::from_fn(|i| unsafe { _mm512_loadu_ps(x.as_ptr().add(16 * i)) });
        let most = x.iter().fold(_mm512_setzero_ps(), |most, &x| {
            _mm512_max_ps(most, _mm512_abs_ps(x))
        });
        let scale = _mm512_reduce_max_ps(most) / 127.0;
        let inverse = _mm512_set1_ps(if scale > 0.0 { 1.0 / scale } else { 0.0 });
        let evens = _mm512_set_epi32(30, 28, 26, 24, 22, 20, 18, 16, 14, 12, 10, 8, 6, 4, 2, 0);
        let odds = _mm512_add_epi32(evens, _mm512_set1_epi32(1));
        let mut sum = _mm512_setzero_si512();
        for i in 0..4 {
            let (a, b) = (x[2 * i], x[2 * i + 1]);
            for (which, to) in [(evens, &mut to.even), (odds, &mut to.odd)] {
                let values = _mm512_mul_ps(_mm512_permutex2var_ps(a, which, b), inverse);
                let values = _mm512_cvtps_epi32(values);
                sum = _mm512_add_epi32(sum, values);
                // SAFETY: 16 bytes from 16 i on are within the 64.
                unsafe {
                    let to = to.as_mut_ptr().add(16 * i).cast();
                    _mm_storeu_si128(to, _mm512_cvtsepi32_epi8(values));
                }
            }
        }
        (scale, _mm512_reduce_add_epi32(sum))
    }

    /// The even and the odd weights of a block.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn nibbles(packed: *const u8) -> [__m512i; 2] {
        let low = _mm512_set1_epi8(15);
        // SAFETY: the caller's block has 64 bytes.
        let bytes = unsafe { _mm512_loadu_si512(packed.cast()) };
        let high = _mm512_srli_epi16(bytes, 4);
        [_mm512_and_si512(bytes, low), _mm512_and_si512(high, low)]
    }

    /// `M` rows from `first` on; returns M.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) unsafe fn few_rows<const M: usize>(
        w: &Weights,
        x: &Quantized,
        first: usize,
        columns: Range<usize>,
        y: &Shared,
    ) -> usize {
        let blocks = w.blocks;
        let at = |m: usize| (first + m) * blocks;
        for column in columns {
            let mut sums = [_mm512_setzero_ps(); M];
            // SAFETY: rows up to first + M are x's, the column is one of w's rows, and b is below
            // the number of blocks of either.
            unsafe {
                let packed = w.packed.as_ptr().add(column * blocks * 64);
                let scales = w.scales.as_ptr().add(column * blocks);
                for b in 0..blocks {
                    let [even, odd] = nibbles(packed.add(b * 64));
                    let scale = *scales.add(b);
                    for (m, sum) in sums.iter_mut().enumerate() {
                        let i = at(m) + b;
                        let a = x.values.as_ptr().add(i);
                        let offset = _mm_cvtsi32_si128(*x.offsets.as_ptr().add(i));
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
                        let both = _mm512_set1_ps(scale * *x.scales.as_ptr().add(i));
                        *sum = _mm512_fmadd_ps(_mm512_cvtepi32_ps(s), both, *sum);
                    }
                }
            }
            for (m, &sum) in sums.iter().enumerate() {
                y.set(first + m, column, _mm512_reduce_add_ps(sum));
            }
        }
        M
    }

    /// 16 columns of all rows.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) unsafe fn many_rows(w: &Weights, x: &Quantized, columns: Range<usize>, y: &Shared) {
        UNPACKED.with_borrow_mut(|unpacked| {
            unpacked.resize(w.blocks * 32, Fours([0; 64]));
            // SAFETY: the columns are rows of w.
            unsafe { unpack(w, columns.start, unpacked) };
            let scales: Vec<[f32; TILE]> = (0..w.blocks)
                .map(|b| std::array::from_fn(|n| w.scales[(columns.start + n) * w.blocks + b]))
                .collect();
            let mut row = 0;
            while row < x.rows {
                // SAFETY: so many rows are left.
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
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn unpack(w: &Weights, first: usize, to: &mut [Fours]) {
        for b in 0..w.blocks {
            let mut halves = [[_mm512_setzero_si512(); TILE]; 2];
            let [evens, odds] = &mut halves;
            for (n, (even, odd)) in evens.iter_mut().zip(odds).enumerate() {
                let at = ((first + n) * w.blocks + b) * 64;
                // SAFETY: the caller's columns are rows of w.
                [*even, *odd] = unsafe { nibbles(w.packed.as_ptr().add(at)) };
            }
            for (half, rows) in halves.into_iter().enumerate() {
                let turned = transpose(rows);
                for (to, row) in to[b * 32 + half * 16..][..16].iter_mut().zip(turned) {
                    // SAFETY: both have 64 bytes.
                    unsafe { _mm512_store_si512(to.0.as_mut_ptr().cast(), row) };
                }
            }
        }
    }

    /// 16 columns of `M` rows from `first` on; returns M.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn tile<const M: usize>(
        unpacked: &[Fours],
        scales: &[[f32; TILE]],
        x: &Quantized,
        first: usize,
        columns: &Range<usize>,
        y: &Shared,
    ) -> usize {
        let mut sums = [_mm512_setzero_ps(); M];
        for (b, (weights, scales)) in unpacked.chunks_exact(32).zip(scales).enumerate() {
            // SAFETY: rows up to first + M are x's, and b is below its number of blocks.
            unsafe {
                let a: [*const Block; M] =
                    std::array::from_fn(|m| x.values.as_ptr().add((first + m) * x.blocks + b));
                let mut s: [__m512i; M] = std::array::from_fn(|m| {
                    _mm512_set1_epi32(*x.offsets.as_ptr().add((first + m) * x.blocks + b))
                });
                for (j, weights) in weights.iter().enumerate() {
                    let weights = _mm512_load_si512(weights.0.as_ptr().cast());
                    for (s, a) in s.iter_mut().zip(a) {
                        // The evens lie before the odds.
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
            // SAFETY: `at` holds it against the matrix's size; the columns are this thread's.
            unsafe { _mm512_storeu_ps(y.at(first + m, columns), sum) };
        }
        M
    }
}

#[cfg(test)]
mod tests {
    use super::super::is_available;
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
        if !is_available() {
            return;
        }
        let (width, columns) = (3 * BLOCK, 37);
        let packed: Vec<u8> = draws(columns * width / 2, 1)
            .iter()
            .map(|x| (x * 127.9 + 128.0) as u8)
            .collect();
        let scales = draws(columns * 3, 2);
        let w = Weights::new(&packed, &scales, width).expect("sizes that fit");
        for rows in [1, 2, 3, 8, 15, 29] {
            let x = draws(rows * width, 3);
            let mut quantized = Quantized::default();
            for (i, mut row) in quantized.start(rows, width).into_iter().enumerate() {
                row.fill(i, &x);
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
            few_rows(&w, &quantized, 0..columns, &Shared::new(&mut few, columns));
            let target = Shared::new(&mut many, columns);
            for first in (0..columns).step_by(TILE) {
                many_rows(&w, &quantized, first..columns.min(first + TILE), &target);
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
