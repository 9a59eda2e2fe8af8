//! Products of many 8-bit rows and 8-bit weights.
//!
//! A row of x has its own scale and zero, a column of weights its own scale. With unsigned values u
//! around a zero z, the sum of `(u - z) w` is the sum of `u w` less z times the column's sum.

use std::cell::RefCell;

use super::Avx512;

/// Columns whose weights lie together.
pub(in super::super) const TILE: usize = 16;
/// Rows computed at once: with two tiles of columns, as many sums as there are registers for.
pub(in super::super) const ROWS: usize = 12;

/// The widest rows of x: a sum of so many products of 255 and -128 is the largest in 32 bits.
pub(in super::super) const WIDEST: usize = (1 << 31) / (255 * 128) / 4 * 4;

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
        let fits = (1..=WIDEST).contains(&width)
            && width.is_multiple_of(4)
            && n > 0
            && n.is_multiple_of(TILE)
            && bias.len() == n
            && sums.len() == n
            && n.checked_mul(width) == Some(values.len());
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
pub(in super::super) fn sums(_: Avx512, values: &[i8], width: usize) -> Vec<i32> {
    assert!((4..=usize::MAX / TILE).contains(&width) && width.is_multiple_of(4));
    // SAFETY: the token proves that the instructions are there.
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

/// The rows of y [rows, columns] for as many rows of x [rows, width].
pub(in super::super) fn multiply(
    _: Avx512,
    w: &Weights,
    x: &[f32],
    activation: Activation,
    y: &mut [f32],
) {
    let rows = x.len() / w.width;
    assert!(x.len() == rows * w.width && y.len() == rows * w.columns());
    QUANTIZED.with_borrow_mut(|quantized| {
        if quantized.values.len() < x.len() {
            quantized.values.resize(x.len(), 0);
        }
        quantized.scales.clear();
        quantized.zeros.clear();
        let to = quantized.values.chunks_exact_mut(w.width);
        for (x, to) in x.chunks_exact(w.width).zip(to) {
            // SAFETY: the token proves that the instructions are there.
            let (scale, zero) = unsafe { x86::quantize(x, to) };
            quantized.scales.push(scale);
            quantized.zeros.push(zero);
        }
        let tiles = w.columns() / TILE;
        for tile in (0..tiles).step_by(2) {
            let mut row = 0;
            while row < rows {
                let at = x86::At { row, tile };
                // SAFETY: the token, as above. `quantized` has `rows` rows of w's width and y as many
                // of w's columns; a match takes no more rows and tiles than are left.
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
                for y in y.chunks_exact_mut(w.columns()) {
                    // SAFETY: the token, as above.
                    unsafe { x86::activate(&mut y[columns.clone()]) };
                }
            }
        }
    });
}

mod x86 {
    use std::arch::x86_64::*;

    use super::super::{LIFT, SMALL, exp2, largest};
    use super::{Quantized, TILE, Weights};

    /// The sum of each column's values.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) fn sums(values: &[i8], width: usize) -> Vec<i32> {
        let ones = _mm512_set1_epi8(1);
        let mut sums = Vec::with_capacity(values.len() / width);
        for tile in values.chunks_exact(width * TILE) {
            let mut sum = _mm512_setzero_si512();
            for four in tile.chunks_exact(64) {
                // SAFETY: `chunks_exact` gives 64 bytes.
                let weights = unsafe { _mm512_loadu_si512(four.as_ptr().cast()) };
                sum = _mm512_dpbusd_epi32(sum, ones, weights);
            }
            let mut found = [0_i32; TILE];
            // SAFETY: an array of 16 numbers of 32 bits is a vector.
            unsafe { _mm512_storeu_si512(found.as_mut_ptr().cast(), sum) };
            sums.extend(found);
        }
        sums
    }

    /// Rounds a row to 0..=255; returns its scale and what stands for zero. The scale of a row that
    /// is not finite is no number.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) fn quantize(x: &[f32], to: &mut [u8]) -> (f32, f32) {
        let (whole, rest) = x.as_chunks::<16>();
        let (mut low, mut high) = (_mm512_setzero_ps(), _mm512_setzero_ps());
        let mut most = _mm512_setzero_si512();
        for x in whole {
            // SAFETY: an array of 16 numbers.
            let x = unsafe { _mm512_loadu_ps(x.as_ptr()) };
            most = largest(most, x);
            low = _mm512_min_ps(low, x);
            high = _mm512_max_ps(high, x);
        }
        let low = rest
            .iter()
            .fold(_mm512_reduce_min_ps(low), |a, &b| a.min(b));
        let high = rest
            .iter()
            .fold(_mm512_reduce_max_ps(high), |a, &b| a.max(b));
        let most = f32::from_bits(_mm512_reduce_max_epu32(most));
        if !most.is_finite() || rest.iter().any(|x| !x.is_finite()) {
            to.fill(0);
            return (f32::NAN, 0.0);
        }
        let lift = if high - low < SMALL { LIFT } else { 1.0 };
        let (low, high) = (low * lift, high * lift);
        let range = high - low;
        let scale = if range.is_finite() {
            range / 255.0
        } else {
            high / 255.0 - low / 255.0
        };
        let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
        let zero = (-low * inverse).round_ties_even();
        let (to_whole, to_rest) = to.as_chunks_mut::<16>();
        for (x, to) in whole.iter().zip(to_whole) {
            // SAFETY: arrays of 16 numbers and of 16 bytes.
            unsafe {
                let x = _mm512_mul_ps(_mm512_loadu_ps(x.as_ptr()), _mm512_set1_ps(lift));
                let x = _mm512_mul_ps(x, _mm512_set1_ps(inverse));
                let x = _mm512_cvtps_epi32(_mm512_add_ps(x, _mm512_set1_ps(zero)));
                let x = _mm512_max_epi32(x, _mm512_setzero_si512());
                _mm_storeu_si128(to.as_mut_ptr().cast(), _mm512_cvtusepi32_epi8(x));
            }
        }
        for (x, to) in rest.iter().zip(to_rest) {
            *to = (x * lift * inverse + zero).round_ties_even() as u8;
        }
        (scale / lift, zero)
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
    pub(super) fn activate(y: &mut [f32]) {
        for y in y.as_chunks_mut::<TILE>().0 {
            // SAFETY: an array of 16 numbers.
            unsafe { _mm512_storeu_ps(y.as_mut_ptr(), gelu(_mm512_loadu_ps(y.as_ptr()))) }
        }
    }

    /// Where a tile is: its first row, its tile of columns.
    #[derive(Clone, Copy)]
    pub(super) struct At {
        pub row: usize,
        pub tile: usize,
    }

    /// `M` rows of `V` tiles of columns; returns M.
    ///
    /// # Safety
    ///
    /// x has rows up to at.row + M of w's width, and w tiles up to at.tile + V.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) unsafe fn tile<const M: usize, const V: usize>(
        w: &Weights,
        x: &Quantized,
        at: At,
        y: &mut [f32],
    ) -> usize {
        let mut sums = [[_mm512_setzero_si512(); V]; M];
        let fours = w.width / 4;
        // SAFETY: M rows of x from at.row on and V tiles of w from at.tile on are there, by the caller's
        // promise; a row of x has 4 `fours` bytes, a tile of w 64 `fours`.
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
            // SAFETY: the slices of w and y were just cut to 16 numbers.
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
                    let y = &mut y[(at.row + m) * w.scales.len()..][columns.clone()];
                    _mm512_storeu_ps(y.as_mut_ptr(), sum);
                }
            }
        }
        M
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Against the product of the same rounded numbers, and of those before rounding.
    #[test]
    fn every_tile_is_the_plain_product() {
        let Some(avx512) = Avx512::detect() else {
            return;
        };
        let (width, columns) = (52, 48);
        let draw = |i: usize| ((i * i) as f32 * 0.61).sin();
        let weights: Vec<i8> = (0..columns * width)
            .map(|i| (draw(i) * 127.0) as i8)
            .collect();
        let scales: Vec<f32> = (0..columns).map(|i| 0.01 + draw(i).abs()).collect();
        let bias: Vec<f32> = (0..columns).map(draw).collect();
        let all = sums(avx512, &weights, width);
        let w = Weights::new(&weights, &scales, &bias, &all, width).expect("sizes that fit");
        for rows in [1, 3, 4, 12, 31] {
            let x: Vec<f32> = (0..rows * width).map(|i| draw(i + 7) + 0.3).collect();
            let mut y = vec![f32::NAN; (rows + 1) * columns];
            multiply(avx512, &w, &x, Activation::None, &mut y[columns..]);
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
        let Some(avx512) = Avx512::detect() else {
            return;
        };
        // The weights are zero; the bias is what is activated.
        let weights = [0; 4 * TILE];
        for i in -40..40 {
            let bias: Vec<f32> = (0..TILE)
                .map(|j| (i * TILE as i32 + j as i32) as f32 * 0.01)
                .collect();
            let w =
                Weights::new(&weights, &[1.0; TILE], &bias, &[0; TILE], 4).expect("sizes that fit");
            let mut y = [0.0; TILE];
            multiply(avx512, &w, &[0.0; 4], Activation::Gelu, &mut y);
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
