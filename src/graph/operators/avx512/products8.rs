//! Products of many 8-bit rows and 8-bit weights.
//!
//! A row of x has its own scale and zero, a column of weights its own scale. With unsigned values u
//! around a zero z, the sum of `(u - z) w` is the sum of `u w` less z times the column's sum.

use std::cell::RefCell;

use super::Shared;

/// Columns whose weights lie together.
pub(in super::super) const TILE: usize = 16;
/// Rows computed at once: with two tiles of columns, as many sums as there are registers for.
pub(in super::super) const ROWS: usize = 12;

/// What is made of a product.
#[derive(Clone, Copy)]
pub(in super::super) enum Activation {
    None,
    /// x Φ(x), Φ being the normal distribution's.
    Gelu,
}

/// A matrix [n, k] in 8 bits and what is added to its product.
pub(in super::super) struct Weights<'a> {
    /// [n / 16, k / 4, 16, 4].
    values: &'a [i8],
    /// [n].
    scales: &'a [f32],
    /// [n].
    bias: &'a [f32],
    /// [n], see [`sums`].
    sums: &'a [i32],
    width: usize,
}

impl<'a> Weights<'a> {
    /// `None` where the sizes do not fit each other.
    pub fn new(
        values: &'a [i8],
        scales: &'a [f32],
        bias: &'a [f32],
        sums: &'a [i32],
        width: usize,
    ) -> Option<Weights<'a>> {
        let n = scales.len();
        let fits = width > 0
            && width.is_multiple_of(4)
            && n > 0
            && n.is_multiple_of(TILE)
            && bias.len() == n
            && sums.len() == n
            && values.len() == n * width;
        fits.then_some(Weights {
            values,
            scales,
            bias,
            width,
            sums,
        })
    }

    pub fn columns(&self) -> usize {
        self.scales.len()
    }
}

/// The sum of each column's values, [n].
pub(in super::super) fn sums(values: &[i8], width: usize) -> Vec<i32> {
    if width == 0 {
        return Vec::new();
    }
    // SAFETY: the operator is registered only where the instructions are.
    unsafe { x86::sums(values, width) }
}

/// A few rows of x in 8 bits.
#[derive(Default)]
struct Quantized {
    /// [rows, width].
    values: Vec<u8>,
    scales: Vec<f32>,
    zeros: Vec<f32>,
}

thread_local! {
    static QUANTIZED: RefCell<Quantized> = RefCell::default();
}

/// Rows of y from `first` on, all columns, for as many rows of x [rows, width]. Threads that share
/// y must write different rows.
pub(in super::super) fn multiply(
    w: &Weights,
    x: &[f32],
    activation: Activation,
    first: usize,
    y: &Shared,
) {
    let rows = x.len() / w.width;
    QUANTIZED.with_borrow_mut(|quantized| {
        if quantized.values.len() < x.len() {
            quantized.values.resize(x.len(), 0);
        }
        quantized.scales.clear();
        quantized.zeros.clear();
        let to = quantized.values.chunks_exact_mut(w.width);
        for (x, to) in x.chunks_exact(w.width).zip(to) {
            // SAFETY: the operator is registered only where the instructions are.
            let (scale, zero) = unsafe { x86::quantize(x, to) };
            quantized.scales.push(scale);
            quantized.zeros.push(zero);
        }
        let tiles = w.columns() / TILE;
        for tile in (0..tiles).step_by(2) {
            let mut row = 0;
            while row < rows {
                let at = x86::At { row, first, tile };
                // SAFETY: as above; so many rows and tiles are left.
                row += unsafe {
                    match (rows - row, tiles - tile) {
                        (ROWS.., 2..) => x86::tile::<ROWS, 2>(w, quantized, at, y),
                        (4.., 2..) => x86::tile::<4, 2>(w, quantized, at, y),
                        (_, 2..) => x86::tile::<1, 2>(w, quantized, at, y),
                        (ROWS.., _) => x86::tile::<ROWS, 1>(w, quantized, at, y),
                        (4.., _) => x86::tile::<4, 1>(w, quantized, at, y),
                        _ => x86::tile::<1, 1>(w, quantized, at, y),
                    }
                };
            }
            if let Activation::Gelu = activation {
                let columns = tile * TILE..tiles.min(tile + 2) * TILE;
                for row in first..first + rows {
                    // SAFETY: as above; the columns are as wide as tiles.
                    unsafe { x86::activate(y, row, &columns) };
                }
            }
        }
    });
}

mod x86 {
    use std::arch::x86_64::*;
    use std::ops::Range;

    use super::super::exp2;
    use super::{Quantized, Shared, TILE, Weights};

    /// The sum of each column's values.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) unsafe fn sums(values: &[i8], width: usize) -> Vec<i32> {
        let ones = _mm512_set1_epi8(1);
        let mut sums = Vec::with_capacity(values.len() / width);
        for tile in values.chunks_exact(width * TILE) {
            let mut sum = _mm512_setzero_si512();
            for four in tile.chunks_exact(64) {
                // SAFETY: a chunk has 64 bytes.
                let weights = unsafe { _mm512_loadu_si512(four.as_ptr().cast()) };
                sum = _mm512_dpbusd_epi32(sum, ones, weights);
            }
            let mut found = [0_i32; TILE];
            // SAFETY: so many numbers are in a vector.
            unsafe { _mm512_storeu_si512(found.as_mut_ptr().cast(), sum) };
            sums.extend(found);
        }
        sums
    }

    /// Rounds a row to 0..=255; returns its scale and what stands for zero.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) unsafe fn quantize(x: &[f32], to: &mut [u8]) -> (f32, f32) {
        let (whole, rest) = x.as_chunks::<16>();
        let (mut low, mut high) = (_mm512_setzero_ps(), _mm512_setzero_ps());
        for x in whole {
            // SAFETY: a chunk has 16 numbers.
            let x = unsafe { _mm512_loadu_ps(x.as_ptr()) };
            low = _mm512_min_ps(low, x);
            high = _mm512_max_ps(high, x);
        }
        let low = rest
            .iter()
            .fold(_mm512_reduce_min_ps(low), |a, &b| a.min(b));
        let high = rest
            .iter()
            .fold(_mm512_reduce_max_ps(high), |a, &b| a.max(b));
        let scale = (high - low) / 255.0;
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        let zero = (-low * inverse).round_ties_even();
        let (to_whole, to_rest) = to.as_chunks_mut::<16>();
        for (x, to) in whole.iter().zip(to_whole) {
            // SAFETY: either has 16 values.
            unsafe {
                let x = _mm512_mul_ps(_mm512_loadu_ps(x.as_ptr()), _mm512_set1_ps(inverse));
                let x = _mm512_cvtps_epi32(_mm512_add_ps(x, _mm512_set1_ps(zero)));
                let x = _mm512_max_epi32(x, _mm512_setzero_si512());
                _mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtusepi32_epi8(x));
            }
        }
        for (x, to) in rest.iter().zip(to_rest) {
            *to = (x * inverse + zero).round_ties_even() as u8;
        }
        (scale, zero)
    }

    /// x Φ(x), to 1e-6: Φ as by Abramowitz and Stegun, 7.1.26.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn gelu(x: __m512) -> __m512 {
        let one = _mm512_set1_ps(1.0);
        let z = _mm512_mul_ps(
            _mm512_abs_ps(x),
            _mm512_set1_ps(std::f32::consts::FRAC_1_SQRT_2),
        );
        let t = _mm512_div_ps(one, _mm512_fmadd_ps(z, _mm512_set1_ps(0.327_591_1), one));
        let mut tail = _mm512_set1_ps(1.061_405_4);
        for c in [-1.453_152_1, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
            tail = _mm512_fmadd_ps(tail, t, _mm512_set1_ps(c));
        }
        let square = _mm512_mul_ps(
            _mm512_mul_ps(z, z),
            _mm512_set1_ps(-std::f32::consts::LOG2_E),
        );
        // Half of 1 - erf(z).
        let tail = _mm512_mul_ps(_mm512_mul_ps(tail, t), exp2(square));
        let tail = _mm512_mul_ps(tail, _mm512_set1_ps(0.5));
        let positive = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(x, _mm512_setzero_ps());
        let share = _mm512_mask_sub_ps(tail, positive, one, tail);
        _mm512_mul_ps(x, share)
    }

    /// Activates some tiles' columns of a row of y.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) unsafe fn activate(y: &Shared, row: usize, columns: &Range<usize>) {
        let y = y.at(row, columns);
        for i in (0..columns.len()).step_by(TILE) {
            // SAFETY: `at` held the columns against the matrix's size.
            unsafe {
                let y = y.add(i);
                _mm512_storeu_ps(y, gelu(_mm512_loadu_ps(y)));
            }
        }
    }

    /// Where a tile is: its first row of x, that row's place in y, its tile of columns.
    #[derive(Clone, Copy)]
    pub(super) struct At {
        pub row: usize,
        pub first: usize,
        pub tile: usize,
    }

    /// `M` rows of `V` tiles of columns; returns M.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) unsafe fn tile<const M: usize, const V: usize>(
        w: &Weights,
        x: &Quantized,
        at: At,
        y: &Shared,
    ) -> usize {
        let mut sums = [[_mm512_setzero_si512(); V]; M];
        let fours = w.width / 4;
        // SAFETY: M rows of x from at.row on and V tiles of w from at.tile on are there.
        unsafe {
            let x = x.values.as_ptr().add(at.row * w.width);
            let weights = w.values.as_ptr().add(at.tile * fours * 64);
            for i in 0..fours {
                let weights: [__m512i; V] = std::array::from_fn(|v| {
                    _mm512_loadu_si512(weights.add((v * fours + i) * 64).cast())
                });
                for (m, sums) in sums.iter_mut().enumerate() {
                    let four = x.add(m * w.width + 4 * i).cast::<i32>().read_unaligned();
                    let four = _mm512_set1_epi32(four);
                    for (sum, weights) in sums.iter_mut().zip(weights) {
                        *sum = _mm512_dpbusd_epi32(*sum, four, weights);
                    }
                }
            }
        }
        for v in 0..V {
            let columns = (at.tile + v) * TILE..(at.tile + v + 1) * TILE;
            // SAFETY: the columns are w's; `Shared` holds the place in y against its size.
            unsafe {
                let all = _mm512_loadu_si512(w.sums[columns.clone()].as_ptr().cast());
                let all = _mm512_cvtepi32_ps(all);
                let scales = _mm512_loadu_ps(w.scales[columns.clone()].as_ptr());
                let bias = _mm512_loadu_ps(w.bias[columns.clone()].as_ptr());
                for (m, sums) in sums.iter().enumerate() {
                    let zero = _mm512_set1_ps(x.zeros[at.row + m]);
                    let scale = _mm512_set1_ps(x.scales[at.row + m]);
                    let sum = _mm512_fnmadd_ps(zero, all, _mm512_cvtepi32_ps(sums[v]));
                    let sum = _mm512_fmadd_ps(sum, _mm512_mul_ps(scale, scales), bias);
                    _mm512_storeu_ps(y.at(at.first + at.row + m, &columns), sum);
                }
            }
        }
        M
    }
}

#[cfg(test)]
mod tests {
    use super::super::is_available;
    use super::*;

    /// Against the product of the same rounded numbers, and of those before rounding.
    #[test]
    fn every_tile_is_the_plain_product() {
        if !is_available() {
            return;
        }
        let (width, columns) = (52, 48);
        let draw = |i: usize| ((i * i) as f32 * 0.61).sin();
        let weights: Vec<i8> = (0..columns * width)
            .map(|i| (draw(i) * 127.0) as i8)
            .collect();
        let scales: Vec<f32> = (0..columns).map(|i| 0.01 + draw(i).abs()).collect();
        let bias: Vec<f32> = (0..columns).map(draw).collect();
        let all = sums(&weights, width);
        let w = Weights::new(&weights, &scales, &bias, &all, width).expect("sizes that fit");
        for rows in [1, 3, 4, 12, 31] {
            let x: Vec<f32> = (0..rows * width).map(|i| draw(i + 7) + 0.3).collect();
            let mut y = vec![f32::NAN; (rows + 1) * columns];
            multiply(&w, &x, Activation::None, 1, &Shared::new(&mut y, columns));
            for (row, x) in x.chunks_exact(width).enumerate() {
                let low = x.iter().fold(0.0_f32, |a, &b| a.min(b));
                let step = (x.iter().fold(0.0_f32, |a, &b| a.max(b)) - low) / 255.0;
                for column in 0..columns {
                    let weight = |k: usize| {
                        let at = (column / TILE * (width / 4) + k / 4) * TILE + column % TILE;
                        f64::from(weights[4 * at + k % 4]) * f64::from(scales[column])
                    };
                    let exact: f64 = (0..width).map(|k| f64::from(x[k]) * weight(k)).sum();
                    // Each value may be off by half a step, and zero by another half.
                    let most: f64 = (0..width).map(|k| weight(k).abs() * f64::from(step)).sum();
                    let found = f64::from(y[(row + 1) * columns + column] - bias[column]);
                    assert!(
                        (found - exact).abs() < 0.5 * most,
                        "{rows} rows: {found} {exact}"
                    );
                }
            }
            assert!(
                y[..columns].iter().all(|y| y.is_nan()),
                "a row before the first was written"
            );
        }
    }

    #[test]
    fn gelu_is_x_and_the_normal_distribution() {
        if !is_available() {
            return;
        }
        // One weight of 1 in each column; the bias is what is activated.
        let weights = [0; 4 * TILE];
        for i in -40..40 {
            let bias: Vec<f32> = (0..TILE)
                .map(|j| (i * TILE as i32 + j as i32) as f32 * 0.01)
                .collect();
            let w =
                Weights::new(&weights, &[1.0; TILE], &bias, &[0; TILE], 4).expect("sizes that fit");
            let mut y = [0.0; TILE];
            multiply(
                &w,
                &[0.0; 4],
                Activation::Gelu,
                0,
                &Shared::new(&mut y, TILE),
            );
            for (x, y) in bias.iter().zip(y) {
                let exact = f64::from(*x) * normal(f64::from(*x));
                assert!((f64::from(y) - exact).abs() < 3e-6, "{x}: {y} {exact}");
            }
        }
    }

    /// The normal distribution, by its density's integral.
    fn normal(x: f64) -> f64 {
        let density = |x: f64| (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt();
        let (n, h) = (2000, x / 2000.0);
        let inner: f64 = (1..n).map(|i| density(f64::from(i) * h)).sum();
        0.5 + h * (inner + (density(0.0) + density(x)) / 2.0)
    }
}
