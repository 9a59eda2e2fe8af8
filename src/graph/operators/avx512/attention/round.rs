//! Keys and values in bytes: less their means, times a scale.

use std::arch::x86_64::*;
use std::ops::Range;

use super::super::{LIFT, SMALL, largest};
use super::{BLOCK, Fours, HEAD, Head, Heads, LANES, ROWS};

/// Keys' scales above this are divided by it: a score is a product of a few thousands and a scale,
/// and may not be infinite before the query's scale makes it less.
const HUGE: f32 = (1_u128 << 64) as f32;

impl Head {
    /// Rounds the keys and values of some columns.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) fn round(&mut self, heads: &Heads, columns: &Range<usize>) {
        self.n = heads.keys.len() / heads.width;
        let padded = self.n.next_multiple_of(LANES);
        self.scores.resize(ROWS * padded, 0.0);
        self.most.resize(padded.div_ceil(BLOCK), [0.0; ROWS]);
        self.log_counts.clear();
        if let Some(log_counts) = heads.log_counts {
            self.log_counts.resize(padded / LANES, [0.0; LANES]);
            let lanes = self.log_counts.as_flattened_mut();
            lanes[..self.n].copy_from_slice(log_counts);
        }
        self.round_keys(heads, columns, padded);
        self.round_values(heads, columns, padded);
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn round_keys(&mut self, heads: &Heads, columns: &Range<usize>, padded: usize) {
        let mean = means(heads.keys, heads.width, columns);
        self.unit = 1.0;
        // What is there from before, behind the last key, is masked when scores are made of it.
        self.keys
            .resize(padded / LANES * (HEAD / 4), Fours([[0; 4]; LANES]));
        self.key_scales.resize(padded / LANES, [0.0; LANES]);
        for (i, row) in heads.keys.chunks_exact(heads.width).enumerate() {
            let mut key = [0.0; HEAD];
            for ((key, x), mean) in key.iter_mut().zip(&row[columns.clone()]).zip(&mean) {
                *key = x - mean;
            }
            let (bytes, scale) = rounded(&key);
            self.key_scales[i / LANES][i % LANES] = scale;
            if scale > HUGE {
                self.unit = HUGE;
            }
            let tile = &mut self.keys[i / LANES * (HEAD / 4)..];
            for (to, bytes) in tile.iter_mut().zip(bytes.as_chunks::<4>().0) {
                to.0[i % LANES] = bytes.map(|b| b as u8 ^ 128);
            }
        }
        if self.unit > 1.0 {
            let scales = self.key_scales.as_flattened_mut();
            scales.iter_mut().for_each(|scale| *scale /= self.unit);
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn round_values(&mut self, heads: &Heads, columns: &Range<usize>, padded: usize) {
        self.value_means = means(heads.values, heads.width, columns);
        let mut most = [0.0_f32; HEAD];
        for row in heads.values.chunks_exact(heads.width) {
            let row = row[columns.clone()].iter().zip(&self.value_means);
            for (most, (x, mean)) in most.iter_mut().zip(row) {
                *most = most.max((x - mean).abs());
            }
        }
        // Values of a lifted column are lifted too, before they are rounded.
        let lift = most.map(|most| if most < SMALL { LIFT } else { 1.0 });
        self.value_scales = most.iter().map(|most| most / 127.0).collect();
        let inverse: [f32; HEAD] = std::array::from_fn(|i| {
            let inverse = 127.0 / (most[i] * lift[i]);
            if inverse.is_finite() { inverse } else { 0.0 }
        });
        // Behind the last value the weights are zero.
        self.values
            .resize(padded / 4 * (HEAD / LANES), Fours([[0; 4]; LANES]));
        let none = [0.0_f32; HEAD];
        let rows: Vec<&[f32]> = heads.values.chunks_exact(heads.width).collect();
        let groups = self.values.chunks_exact_mut(HEAD / LANES);
        for (rows, group) in rows.chunks(4).zip(groups) {
            let four: [&[f32]; 4] = std::array::from_fn(|i| match rows.get(i) {
                Some(row) => &row[columns.clone()],
                None => &none,
            });
            // SAFETY: a row's columns, the means and the inverses are 64, and a group is 4 vectors.
            unsafe { interleave(four, &self.value_means, [&lift, &inverse], group) };
        }
    }
}

/// Means beyond this are not taken off: they may have overflowed, or make a value overflow. A mean
/// that is no number is: then a key or value is none, and the result is to say so.
const LARGEST_MEAN: f32 = 1e30;

/// The mean of each of some columns of [rows, width].
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn means(rows: &[f32], width: usize, columns: &Range<usize>) -> Vec<f32> {
    let mut sums = vec![0.0_f32; columns.len()];
    for row in rows.chunks_exact(width) {
        for (sum, x) in sums.iter_mut().zip(&row[columns.clone()]) {
            *sum += x;
        }
    }
    let n = (rows.len() / width).max(1) as f32;
    let means = sums.iter().map(|sum| sum / n);
    means
        .map(|mean| if mean.abs() > LARGEST_MEAN { 0.0 } else { mean })
        .collect()
}

/// A vector in bytes and what one of them is worth; of a vector that is not finite, no number.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
pub(super) fn rounded(x: &[f32; HEAD]) -> ([i8; HEAD], f32) {
    let x: [__m512; HEAD / LANES] =
        // SAFETY: four vectors of 16 are the array's 64.
        std::array::from_fn(|i| unsafe { _mm512_loadu_ps(x.as_ptr().add(i * LANES)) });
    let most = x
        .iter()
        .fold(_mm512_setzero_si512(), |most, &x| largest(most, x));
    let most = f32::from_bits(_mm512_reduce_max_epu32(most));
    let mut bytes = [0; HEAD];
    if most == 0.0 {
        return (bytes, 0.0);
    }
    if !most.is_finite() {
        return (bytes, f32::NAN);
    }
    let lift = if most < SMALL { LIFT } else { 1.0 };
    let x = x.map(|x| _mm512_mul_ps(x, _mm512_set1_ps(lift)));
    let inverse = _mm512_set1_ps(127.0 / (most * lift));
    for (x, bytes) in x.into_iter().zip(bytes.as_chunks_mut::<LANES>().0) {
        let whole = _mm512_cvtps_epi32(_mm512_mul_ps(x, inverse));
        // SAFETY: an array of 16 bytes.
        unsafe {
            _mm_storeu_si128(bytes.as_mut_ptr().cast(), _mm512_cvtsepi32_epi8(whole));
        }
    }
    (bytes, most / 127.0)
}

/// Four rows, less `means` and times `factors`, in bytes beside each other.
///
/// # Safety
///
/// Rows, means and factors have 16 numbers for each vector of `to`.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn interleave(
    rows: [&[f32]; 4],
    means: &[f32],
    factors: [&[f32; HEAD]; 2],
    to: &mut [Fours],
) {
    for (part, to) in to.iter_mut().enumerate() {
        let at = part * LANES;
        let mut bytes = _mm512_setzero_si512();
        for row in rows.iter().rev() {
            // SAFETY: the caller's promise: 16 of each from `at` on.
            let (x, mean, [lift, inverse]) = unsafe {
                (
                    _mm512_loadu_ps(row.as_ptr().add(at)),
                    _mm512_loadu_ps(means.as_ptr().add(at)),
                    factors.map(|factor| _mm512_loadu_ps(factor.as_ptr().add(at))),
                )
            };
            let x = _mm512_mul_ps(_mm512_mul_ps(_mm512_sub_ps(x, mean), lift), inverse);
            let byte = _mm512_and_si512(_mm512_cvtps_epi32(x), _mm512_set1_epi32(255));
            bytes = _mm512_or_si512(_mm512_slli_epi32(bytes, 8), byte);
        }
        // SAFETY: a `Fours` has 64 bytes and is aligned to as many.
        unsafe { _mm512_store_si512((&raw mut to.0).cast(), bytes) };
    }
}
