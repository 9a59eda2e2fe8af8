//! Attention of every query to every key in 8 bits: an encoder's, whose 1500 positions make it half
//! of its work.
//!
//! Softmax does not change when all keys move by the same vector, so their mean is taken off before
//! they are rounded, as it is off the values, whose weights sum to one (both as SageAttention does).
//! Queries and keys have a scale each, values one for each dimension. Weights are a byte each, of the
//! largest among 128 keys, not among all, which most are far below; and where to round up is spread
//! evenly over neighbours, so that many small weights do not all vanish.

use std::cell::RefCell;
use std::ops::Range;

use super::Shared;

/// Dimensions of a head.
pub(in super::super) const HEAD: usize = 64;
/// Queries at a time.
const ROWS: usize = 8;
/// Keys of a vector.
const LANES: usize = 16;
/// Keys whose weights are relative to the largest among them.
const BLOCK: usize = 128;

/// Queries, keys and values of all heads: [rows, width] of each, a head's 64 columns side by side.
pub(in super::super) struct Heads<'a> {
    pub queries: &'a [f32],
    pub keys: &'a [f32],
    pub values: &'a [f32],
    pub width: usize,
}

/// Four bytes each of 16 keys or dimensions.
#[derive(Clone, Copy)]
#[repr(C, align(64))]
struct Fours([[u8; 4]; LANES]);

/// One head's keys and values, rounded, and room for the scores of a few queries.
#[derive(Default)]
struct Head {
    /// [keys / 16, dimensions / 4]: 128 is zero.
    keys: Vec<Fours>,
    key_scales: Vec<[f32; LANES]>,
    /// [keys / 4, dimensions / 16].
    values: Vec<Fours>,
    value_scales: Vec<f32>,
    value_means: Vec<f32>,
    /// [queries, keys], the keys' number rounded up; in units of the query's scale.
    scores: Vec<f32>,
    /// The largest score of each block, [blocks, queries].
    most: Vec<[f32; ROWS]>,
    n: usize,
}

thread_local! {
    static ROOM: RefCell<Head> = RefCell::default();
}

/// Writes head `head`'s columns of y [queries, width].
pub(in super::super) fn attend(heads: &Heads, head: usize, y: &Shared) {
    let columns = head * HEAD..(head + 1) * HEAD;
    assert!(columns.end <= heads.width && heads.keys.len() == heads.values.len());
    ROOM.with_borrow_mut(|room| {
        // SAFETY: the operator is registered only where the instructions are.
        unsafe { room.round(heads, &columns) };
        let queries = heads.queries.chunks_exact(heads.width);
        let queries: Vec<&[f32]> = queries.map(|row| &row[columns.clone()]).collect();
        for (i, queries) in queries.chunks(ROWS).enumerate() {
            // SAFETY: as above.
            unsafe { room.attend(queries, i * ROWS, &columns, y) };
        }
    });
}

impl Head {
    /// Rounds the keys and values of some columns.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn round(&mut self, heads: &Heads, columns: &Range<usize>) {
        self.n = heads.keys.len() / heads.width;
        let padded = self.n.next_multiple_of(LANES);
        self.scores.resize(ROWS * padded, 0.0);
        self.most.resize(padded.div_ceil(BLOCK), [0.0; ROWS]);
        self.round_keys(heads, columns, padded);
        self.round_values(heads, columns, padded);
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    fn round_keys(&mut self, heads: &Heads, columns: &Range<usize>, padded: usize) {
        let mean = means(heads.keys, heads.width, columns);
        // What is there from before, behind the last key, is masked when scores are made of it.
        self.keys
            .resize(padded / LANES * (HEAD / 4), Fours([[0; 4]; LANES]));
        self.key_scales.resize(padded / LANES, [0.0; LANES]);
        for (i, row) in heads.keys.chunks_exact(heads.width).enumerate() {
            let mut key = [0.0; HEAD];
            for ((key, x), mean) in key.iter_mut().zip(&row[columns.clone()]).zip(&mean) {
                *key = x - mean;
            }
            let (bytes, scale) = x86::rounded(&key);
            self.key_scales[i / LANES][i % LANES] = scale;
            let tile = &mut self.keys[i / LANES * (HEAD / 4)..];
            for (to, bytes) in tile.iter_mut().zip(bytes.as_chunks::<4>().0) {
                to.0[i % LANES] = bytes.map(|b| b as u8 ^ 128);
            }
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
        self.value_scales = most.iter().map(|most| most / 127.0).collect();
        let inverse = most.map(|most| if most > 0.0 { 127.0 / most } else { 0.0 });
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
            // SAFETY: 64 of each.
            unsafe { x86::interleave(four, &self.value_means, &inverse, group) };
        }
    }
}

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
    sums.iter().map(|sum| sum / n).collect()
}

mod x86 {
    use std::arch::x86_64::*;

    use super::super::exp2;
    use super::*;

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
    /// A vector in bytes and what one of them is worth.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) fn rounded(x: &[f32; HEAD]) -> ([i8; HEAD], f32) {
        let x: [__m512; HEAD / LANES] =
            // SAFETY: four vectors of 16.
            std::array::from_fn(|i| unsafe { _mm512_loadu_ps(x.as_ptr().add(i * LANES)) });
        let most = x.iter().fold(_mm512_setzero_ps(), |most, &x| {
            _mm512_max_ps(most, _mm512_abs_ps(x))
        });
        let most = _mm512_reduce_max_ps(most);
        let inverse = _mm512_set1_ps(if most > 0.0 { 127.0 / most } else { 0.0 });
        let mut bytes = [0; HEAD];
        for (x, bytes) in x.into_iter().zip(bytes.as_chunks_mut::<LANES>().0) {
            let whole = _mm512_cvtps_epi32(_mm512_mul_ps(x, inverse));
            // SAFETY: 16 bytes.
            unsafe {
                _mm_storeu_si128(bytes.as_mut_ptr().cast(), _mm512_cvtsepi32_epi8(whole));
            }
        }
        (bytes, most / 127.0)
    }

    /// Four rows, less `means` and times `inverse`, in bytes beside each other.
    #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
    pub(super) unsafe fn interleave(
        rows: [&[f32]; 4],
        means: &[f32],
        inverse: &[f32; HEAD],
        to: &mut [Fours],
    ) {
        for (part, to) in to.iter_mut().enumerate() {
            let at = part * LANES;
            let mut bytes = _mm512_setzero_si512();
            for row in rows.iter().rev() {
                // SAFETY: the caller's promise.
                let (x, mean, inverse) = unsafe {
                    (
                        _mm512_loadu_ps(row.as_ptr().add(at)),
                        _mm512_loadu_ps(means.as_ptr().add(at)),
                        _mm512_loadu_ps(inverse.as_ptr().add(at)),
                    )
                };
                let x = _mm512_mul_ps(_mm512_sub_ps(x, mean), inverse);
                let byte = _mm512_and_si512(_mm512_cvtps_epi32(x), _mm512_set1_epi32(255));
                bytes = _mm512_or_si512(_mm512_slli_epi32(bytes, 8), byte);
            }
            // SAFETY: 64 bytes, aligned.
            unsafe { _mm512_store_si512((&raw mut to.0).cast(), bytes) };
        }
    }

    impl Head {
        /// Up to 8 queries, of which the first is row `first` of y.
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
        pub(super) unsafe fn attend(
            &mut self,
            queries: &[&[f32]],
            first: usize,
            columns: &Range<usize>,
            y: &Shared,
        ) {
            let mut bytes = [[0_i8; HEAD]; ROWS];
            let (mut scales, mut offsets) = ([0.0_f32; ROWS], [0_i32; ROWS]);
            for (i, query) in queries.iter().enumerate() {
                let mut row = [0.0; HEAD];
                row.copy_from_slice(query);
                let (found, scale) = rounded(&row);
                bytes[i] = found;
                scales[i] = scale * std::f32::consts::LOG2_E;
                offsets[i] = -128 * found.iter().map(|&b| i32::from(b)).sum::<i32>();
            }
            let mut mixed = [[_mm512_setzero_ps(); HEAD / LANES]; ROWS];
            let mut sums = [_mm512_setzero_ps(); ROWS];
            // SAFETY: the caller's promise; the buffers have the sizes that `round` gave them.
            unsafe {
                self.score(&bytes, &offsets);
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

        /// Scores of 8 queries and all keys, and the largest of each block.
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
        unsafe fn score(&mut self, bytes: &[[i8; HEAD]; ROWS], offsets: &[i32; ROWS]) {
            let padded = self.scores.len() / ROWS;
            let none = _mm512_set1_ps(f32::MIN);
            let mut most = [none; ROWS];
            let tiles = self.keys.chunks_exact(HEAD / 4).zip(&self.key_scales);
            for (t, (keys, key_scales)) in tiles.enumerate() {
                let mut sums = offsets.map(|offset| _mm512_set1_epi32(offset));
                for (j, keys) in keys.iter().enumerate() {
                    // SAFETY: 64 bytes, aligned.
                    let keys = unsafe { _mm512_load_si512((&raw const keys.0).cast()) };
                    for (sum, bytes) in sums.iter_mut().zip(bytes) {
                        // SAFETY: j is below 16.
                        let four = unsafe { bytes.as_ptr().cast::<i32>().add(j).read_unaligned() };
                        *sum = _mm512_dpbusd_epi32(*sum, keys, _mm512_set1_epi32(four));
                    }
                }
                // SAFETY: 16 floats.
                let key_scales = unsafe { _mm512_loadu_ps(key_scales.as_ptr()) };
                let left = self.n - (t * LANES).min(self.n);
                let there: __mmask16 = if left < LANES { (1 << left) - 1 } else { !0 };
                for (m, (sum, most)) in sums.into_iter().zip(&mut most).enumerate() {
                    let score = _mm512_cvtepi32_ps(sum);
                    let score = _mm512_mask_mul_ps(none, there, score, key_scales);
                    *most = _mm512_max_ps(*most, score);
                    // SAFETY: within row m of the scores.
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
            // SAFETY: 16 floats.
            unsafe {
                let powers = exp2(_mm512_loadu_ps(shares.as_ptr()));
                _mm512_storeu_ps(shares.as_mut_ptr(), powers);
            }
            shares
        }

        /// The weights of query m for a block's keys in bytes, 255 for the largest; returns their sum,
        /// by lane.
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
            let less = _mm512_mul_ps(_mm512_set1_ps(self.most[block][m]), scale);
            let mut sum = _mm512_setzero_ps();
            for (scores, weights) in scores.iter().zip(weights) {
                // SAFETY: 16 of each.
                unsafe {
                    let score = _mm512_loadu_ps(scores.as_ptr());
                    let weight = exp2(_mm512_fmsub_ps(score, scale, less));
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
                    // SAFETY: 64 bytes each, aligned.
                    std::array::from_fn(|i| unsafe { _mm512_load_si512((&raw const values[i].0).cast()) });
                for (sums, weights) in sums.iter_mut().zip(weights) {
                    // SAFETY: j is below a quarter of the block.
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

        /// What a query hears: `mixed`, but for `share` and the values' scales and means.
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
        unsafe fn write(&self, mixed: &[__m512; HEAD / LANES], share: f32, to: *mut f32) {
            for (part, mixed) in mixed.iter().enumerate() {
                let at = part * LANES;
                // SAFETY: 64 of each.
                unsafe {
                    let scale = _mm512_loadu_ps(self.value_scales.as_ptr().add(at));
                    let scale = _mm512_mul_ps(scale, _mm512_set1_ps(share));
                    let mean = _mm512_loadu_ps(self.value_means.as_ptr().add(at));
                    _mm512_storeu_ps(to.add(at), _mm512_fmadd_ps(*mixed, scale, mean));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::is_available;
    use super::*;

    #[test]
    fn eight_bits_attend_as_floats_do() {
        if !is_available() {
            return;
        }
        // As many keys and queries as fill no vector, two heads, keys with a common part.
        let (nk, nq, width) = (203, 21, 2 * HEAD);
        let draw = |i: usize| ((i * 7919 % 10_007) as f32 / 5003.5 - 1.0) * 1.5;
        let queries: Vec<f32> = (0..nq * width).map(draw).collect();
        let keys: Vec<f32> = (0..nk * width)
            .map(|i| draw(3 * i + 1) + (i % 64) as f32 / 8.0)
            .collect();
        let values: Vec<f32> = (0..nk * width).map(|i| draw(5 * i + 2) + 0.5).collect();
        let mut y = vec![0.0; nq * width];
        let heads = Heads {
            queries: &queries,
            keys: &keys,
            values: &values,
            width,
        };
        let columns = Shared::new(&mut y, width);
        (0..2).for_each(|head| attend(&heads, head, &columns));
        for q in 0..nq {
            for head in 0..2 {
                let of = |all: &[f32], row: usize| -> Vec<f64> {
                    let at = row * width + head * HEAD;
                    all[at..at + HEAD].iter().map(|&x| f64::from(x)).collect()
                };
                let query = of(&queries, q);
                let score =
                    |k| -> f64 { of(&keys, k).iter().zip(&query).map(|(a, b)| a * b).sum() };
                let scores: Vec<f64> = (0..nk).map(score).collect();
                let most = scores.iter().copied().fold(f64::MIN, f64::max);
                let weights: Vec<f64> = scores.iter().map(|s| (s - most).exp()).collect();
                let sum: f64 = weights.iter().sum();
                let mut exact = [0.0; HEAD];
                for (k, weight) in weights.iter().enumerate() {
                    for (exact, value) in exact.iter_mut().zip(of(&values, k)) {
                        *exact += weight / sum * value;
                    }
                }
                for (exact, found) in exact.iter().zip(of(&y, q)) {
                    assert!((exact - found).abs() < 0.1, "{exact} {found}");
                }
            }
        }
    }
}
