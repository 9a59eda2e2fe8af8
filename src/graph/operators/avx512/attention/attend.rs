//! A few queries at a time: scores of all keys, weights in bytes, values weighted.

use std::arch::x86_64::*;
use std::ops::Range;

use super::super::{Columns, exp2};
use super::round::rounded;
use super::{BLOCK, HEAD, Head, LANES, ROWS};

/// Added before rounding down, by lane: sixteenths in an order that leaves no two near ones
/// beside each other.
const ROUNDING: [f32; LANES] = {
    let order = [0_u8, 8, 4, 12, 2, 10, 6, 14, 1, 9, 5, 13, 3, 11, 7, 15];
    let mut found = [0.0; LANES];
    let mut i = 0;
    while i < LANES {
        found[i] = (order[i] as f32 + 0.5) / 16.0;
        i += 1;
    }
    found
};

/// The least scale of a query that keys with counts are multiplied by.
const SMALLEST: f32 = 1e-30;

/// The first `n` lanes of a vector.
fn lanes(n: usize) -> __mmask16 {
    if n < LANES { (1 << n) - 1 } else { !0 }
}

impl Head {
    /// Up to 8 queries, of which the first is row `first` of y.
    ///
    /// # Safety
    ///
    /// `round` was called before; the columns are 64 of y's.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) unsafe fn attend(
        &mut self,
        queries: &[&[f32]],
        first: usize,
        columns: &Range<usize>,
        y: &mut Columns,
    ) {
        let mut bytes = [[0_i8; HEAD]; ROWS];
        let (mut scales, mut offsets) = ([0.0_f32; ROWS], [0_i32; ROWS]);
        for (i, query) in queries.iter().enumerate() {
            let mut row = [0.0; HEAD];
            row.copy_from_slice(query);
            let (found, scale) = rounded(&row);
            // So small a query scores all keys alike, and their counts are divided by its scale.
            if scale < SMALLEST && !self.log_counts.is_empty() {
                scales[i] = 1.0;
                continue;
            }
            bytes[i] = found;
            scales[i] = scale * std::f32::consts::LOG2_E * self.unit;
            offsets[i] = -128 * found.iter().map(|&b| i32::from(b)).sum::<i32>();
        }
        let mut mixed = [[_mm512_setzero_ps(); HEAD / LANES]; ROWS];
        let mut sums = [_mm512_setzero_ps(); ROWS];
        // SAFETY: `round` gave the buffers the sizes that these functions expect. `at` compares the row
        // with y's size, and the columns are as many as `write` writes.
        unsafe {
            self.score(&bytes, &offsets, &scales);
            let most = self.most.iter().fold([f32::MIN; ROWS], |most, block| {
                std::array::from_fn(|m| most[m].max(block[m]))
            });
            let mut weights = [[0; BLOCK]; ROWS];
            for block in 0..self.most.len() {
                let shares = self.shares(block, &most, &scales);
                for (m, (weights, sum)) in weights.iter_mut().zip(&mut sums).enumerate() {
                    let found = self.weigh(block, m, scales[m], weights);
                    *sum = _mm512_fmadd_ps(found, _mm512_set1_ps(shares[m]), *sum);
                }
                for half in [0, ROWS / 2] {
                    self.mix(
                        block,
                        &weights[half..],
                        &shares[half..],
                        &mut mixed[half..half + ROWS / 2],
                    );
                }
            }
            for (m, (mixed, sum)) in mixed.iter().zip(sums).take(queries.len()).enumerate() {
                let share = 1.0 / (255.0 * _mm512_reduce_add_ps(sum));
                self.write(mixed, share, y.at(first + m, columns));
            }
        }
    }

    /// Scores of 8 queries and all keys, with the keys' counts, and the largest of each block.
    ///
    /// # Safety
    ///
    /// `round` was called before.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn score(
        &mut self,
        bytes: &[[i8; HEAD]; ROWS],
        offsets: &[i32; ROWS],
        scales: &[f32; ROWS],
    ) {
        // The scores are multiplied by the scales later on, and the counts with them.
        let log_units = scales.map(|scale| std::f32::consts::LOG2_E / scale);
        let padded = self.scores.len() / ROWS;
        let none = _mm512_set1_ps(f32::MIN);
        let mut most = [none; ROWS];
        let tiles = self.keys.chunks_exact(HEAD / 4).zip(&self.key_scales);
        for (t, (keys, key_scales)) in tiles.enumerate() {
            let mut sums = offsets.map(|offset| _mm512_set1_epi32(offset));
            for (j, keys) in keys.iter().enumerate() {
                // SAFETY: a `Fours` has 64 bytes and is aligned to as many.
                let keys = unsafe { _mm512_load_si512((&raw const keys.0).cast()) };
                for (sum, bytes) in sums.iter_mut().zip(bytes) {
                    // SAFETY: a tile of keys has 16 `Fours`, so j is below 16, and a query has 64 bytes.
                    let four = unsafe { bytes.as_ptr().cast::<i32>().add(j).read_unaligned() };
                    *sum = _mm512_dpbusd_epi32(*sum, keys, _mm512_set1_epi32(four));
                }
            }
            // SAFETY: an array of 16 floats.
            let key_scales = unsafe { _mm512_loadu_ps(key_scales.as_ptr()) };
            let left = self.n.saturating_sub(t * LANES);
            let there = lanes(left);
            for (m, (sum, most)) in sums.into_iter().zip(&mut most).enumerate() {
                let score = _mm512_cvtepi32_ps(sum);
                let mut score = _mm512_mask_mul_ps(none, there, score, key_scales);
                if let Some(log_counts) = self.log_counts.get(t) {
                    // SAFETY: an array of 16 floats.
                    let log_counts = unsafe { _mm512_loadu_ps(log_counts.as_ptr()) };
                    let unit = _mm512_set1_ps(log_units[m]);
                    score = _mm512_mask3_fmadd_ps(log_counts, unit, score, there);
                }
                *most = _mm512_max_ps(*most, score);
                // SAFETY: `round` made 8 rows of `padded` scores and as many tiles as there are vectors
                // in a row; m is below 8.
                unsafe {
                    let to = self.scores.as_mut_ptr().add(m * padded + t * LANES);
                    _mm512_storeu_ps(to, score);
                }
            }
            let next = (t + 1) * LANES;
            if next.is_multiple_of(BLOCK) || next == padded {
                self.most[t * LANES / BLOCK] = most.map(|most| _mm512_reduce_max_ps(most));
                most = [none; ROWS];
            }
        }
    }

    /// What a block's largest weight is of all keys' largest, by query.
    ///
    /// # Safety
    ///
    /// None but the instructions.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn shares(
        &self,
        block: usize,
        most: &[f32; ROWS],
        scales: &[f32; ROWS],
    ) -> [f32; LANES] {
        let mut shares = [0.0; LANES];
        for (m, share) in shares.iter_mut().take(ROWS).enumerate() {
            *share = (self.most[block][m] - most[m]) * scales[m];
        }
        // SAFETY: an array of 16 floats.
        unsafe {
            let powers = exp2(_mm512_loadu_ps(shares.as_ptr()));
            _mm512_storeu_ps(shares.as_mut_ptr(), powers);
        }
        shares
    }

    /// The weights of query m for a block's keys in bytes, 255 for the largest; returns their sum,
    /// by lane. Behind the last key they are zero: a query of zeros scores all keys alike, and what
    /// lies there is of an earlier question.
    ///
    /// # Safety
    ///
    /// None but the instructions.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn weigh(
        &self,
        block: usize,
        m: usize,
        scale: f32,
        weights: &mut [u8; BLOCK],
    ) -> __m512 {
        let padded = self.scores.len() / ROWS;
        let scores = &self.scores[m * padded..(m + 1) * padded];
        let scores = &scores[block * BLOCK..padded.min((block + 1) * BLOCK)];
        let (scores, _) = scores.as_chunks::<LANES>();
        let (weights, _) = weights.as_chunks_mut::<LANES>();
        let scale = _mm512_set1_ps(scale);
        let most = _mm512_set1_ps(self.most[block][m]);
        let less = _mm512_mul_ps(most, scale);
        // Where the largest score is beyond a float, its distance from the others may not be.
        let far = !_mm512_cvtss_f32(less).is_finite();
        let mut sum = _mm512_setzero_ps();
        let left = self.n.saturating_sub(block * BLOCK);
        for (i, (scores, weights)) in scores.iter().zip(weights).enumerate() {
            let there = lanes(left.saturating_sub(i * LANES));
            // SAFETY: arrays of 16 numbers and of 16 bytes.
            unsafe {
                let score = _mm512_loadu_ps(scores.as_ptr());
                let weight = exp2(if far {
                    _mm512_mul_ps(_mm512_sub_ps(score, most), scale)
                } else {
                    _mm512_fmsub_ps(score, scale, less)
                });
                let weight = _mm512_maskz_mov_ps(there, weight);
                sum = _mm512_add_ps(sum, weight);
                let rounding = _mm512_loadu_ps(ROUNDING.as_ptr());
                let byte = _mm512_fmadd_ps(weight, _mm512_set1_ps(255.0), rounding);
                let byte = _mm512_cvtusepi32_epi8(_mm512_cvttps_epi32(byte));
                _mm_storeu_si128(weights.as_mut_ptr().cast(), byte);
            }
        }
        sum
    }

    /// Adds a block's values, weighted, for four queries.
    ///
    /// # Safety
    ///
    /// None but the instructions.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn mix(
        &self,
        block: usize,
        weights: &[[u8; BLOCK]],
        shares: &[f32],
        mixed: &mut [[__m512; HEAD / LANES]],
    ) {
        let mut sums = [[_mm512_setzero_si512(); HEAD / LANES]; ROWS / 2];
        let values = &self.values[block * BLOCK / 4 * (HEAD / LANES)..];
        let values = values.chunks_exact(HEAD / LANES).take(BLOCK / 4);
        for (j, values) in values.enumerate() {
            let values: [__m512i; HEAD / LANES] =
                // SAFETY: a `Fours` has 64 bytes and is aligned to as many; the chunk has 4.
                std::array::from_fn(|i| unsafe { _mm512_load_si512((&raw const values[i].0).cast()) });
            for (sums, weights) in sums.iter_mut().zip(weights) {
                // SAFETY: `take` keeps j below a quarter of the block, whose weights are a byte each.
                let four = unsafe { weights.as_ptr().cast::<i32>().add(j).read_unaligned() };
                for (sum, values) in sums.iter_mut().zip(values) {
                    *sum = _mm512_dpbusd_epi32(*sum, _mm512_set1_epi32(four), values);
                }
            }
        }
        for ((mixed, sums), share) in mixed.iter_mut().zip(sums).zip(shares) {
            for (mixed, sum) in mixed.iter_mut().zip(sums) {
                let share = _mm512_set1_ps(*share);
                *mixed = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), share, *mixed);
            }
        }
    }

    /// A query's output: `mixed` times `share` and the values' scales, plus their means.
    ///
    /// # Safety
    ///
    /// `round` was called before; 64 floats may be written from `to` on.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    unsafe fn write(&self, mixed: &[__m512; HEAD / LANES], share: f32, to: *mut f32) {
        for (part, mixed) in mixed.iter().enumerate() {
            let at = part * LANES;
            // SAFETY: `round` made 64 scales and 64 means, and `to` has 64 floats by the caller's promise;
            // `part` is below 4.
            unsafe {
                let scale = _mm512_loadu_ps(self.value_scales.as_ptr().add(at));
                let scale = _mm512_mul_ps(scale, _mm512_set1_ps(share));
                let mean = _mm512_loadu_ps(self.value_means.as_ptr().add(at));
                _mm512_storeu_ps(to.add(at), _mm512_fmadd_ps(*mixed, scale, mean));
            }
        }
    }
}
