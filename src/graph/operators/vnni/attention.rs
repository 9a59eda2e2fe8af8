//! Attention of every query to every key in 8 bits: an encoder's, whose 1500 positions make it half
//! of its work.
//!
//! Softmax does not change when all keys move by the same vector, so their mean is taken off before
//! they are rounded, as it is off the values, whose weights sum to one (both as SageAttention does).
//! Queries and keys have a scale each, values one for each dimension. Weights keep 16 bits, as two
//! bytes: most are far below the largest.

use std::cell::RefCell;
use std::ops::Range;

use super::Columns;

/// Dimensions of a head.
pub(in super::super) const HEAD: usize = 64;
/// Queries at a time.
const ROWS: usize = 8;
/// Keys of a vector.
const LANES: usize = 16;

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
    /// [queries, keys], the keys' number rounded up.
    scores: Vec<f32>,
    /// The same in bytes: what a weight has above and below 1 / 255.
    above: Vec<u8>,
    below: Vec<u8>,
    n: usize,
}

thread_local! {
    static ROOM: RefCell<Head> = RefCell::default();
}

/// Writes head `head`'s columns of y [queries, width].
pub(in super::super) fn attend(heads: &Heads, head: usize, y: &Columns) {
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
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn round(&mut self, heads: &Heads, columns: &Range<usize>) {
        self.n = heads.keys.len() / heads.width;
        let padded = self.n.next_multiple_of(LANES);
        self.scores.resize(ROWS * padded, 0.0);
        self.above.resize(ROWS * padded, 0);
        self.below.resize(ROWS * padded, 0);
        self.round_keys(heads, columns, padded);
        self.round_values(heads, columns, padded);
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn round_keys(&mut self, heads: &Heads, columns: &Range<usize>, padded: usize) {
        let mean = means(heads.keys, heads.width, columns);
        let zero = Fours([[128; 4]; LANES]);
        self.keys.clear();
        self.keys.resize(padded / LANES * (HEAD / 4), zero);
        self.key_scales.clear();
        self.key_scales.resize(padded / LANES, [0.0; LANES]);
        for (i, row) in heads.keys.chunks_exact(heads.width).enumerate() {
            let mut key = [0.0; HEAD];
            for ((key, x), mean) in key.iter_mut().zip(&row[columns.clone()]).zip(&mean) {
                *key = x - mean;
            }
            let (bytes, scale) = rounded(&key);
            self.key_scales[i / LANES][i % LANES] = scale;
            let tile = &mut self.keys[i / LANES * (HEAD / 4)..];
            for (to, bytes) in tile.iter_mut().zip(bytes.as_chunks::<4>().0) {
                to.0[i % LANES] = bytes.map(|b| (i16::from(b) + 128) as u8);
            }
        }
    }

    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
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
        self.values.clear();
        self.values
            .resize(padded / 4 * (HEAD / LANES), Fours([[0; 4]; LANES]));
        for (i, row) in heads.values.chunks_exact(heads.width).enumerate() {
            let group = &mut self.values[i / 4 * (HEAD / LANES)..];
            let row = row[columns.clone()]
                .iter()
                .zip(&self.value_means)
                .zip(&inverse);
            for (d, ((x, mean), inverse)) in row.enumerate() {
                let byte = ((x - mean) * inverse).round_ties_even() as i8;
                group[d / LANES].0[d % LANES][i % 4] = byte as u8;
            }
        }
    }
}

/// The mean of each of some columns of [rows, width].
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
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

/// A vector in bytes and what one of them is worth.
#[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
fn rounded(x: &[f32; HEAD]) -> ([i8; HEAD], f32) {
    let most = x.iter().fold(0.0_f32, |most, x| most.max(x.abs()));
    let inverse = if most > 0.0 { 127.0 / most } else { 0.0 };
    let bytes = x.map(|x| (x * inverse).round_ties_even() as i8);
    (bytes, most / 127.0)
}

mod x86 {
    use std::arch::x86_64::*;

    use super::*;

    impl Head {
        /// Up to 8 queries, of which the first is row `first` of y.
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
        pub(super) unsafe fn attend(
            &mut self,
            queries: &[&[f32]],
            first: usize,
            columns: &Range<usize>,
            y: &Columns,
        ) {
            let mut bytes = [[0_i8; HEAD]; ROWS];
            let (mut scales, mut offsets) = ([0.0_f32; ROWS], [0_i32; ROWS]);
            for (i, query) in queries.iter().enumerate() {
                let mut row = [0.0; HEAD];
                row.copy_from_slice(query);
                (bytes[i], scales[i]) = rounded(&row);
                offsets[i] = -128 * bytes[i].iter().map(|&b| i32::from(b)).sum::<i32>();
            }
            // SAFETY: the caller's promise; the buffers have the sizes that `round` gave them.
            unsafe {
                let most = self.score(&bytes, &scales, &offsets);
                let sums = self.weigh(most);
                for half in [0, ROWS / 2] {
                    self.mix(half, &sums, queries.len(), first, columns, y);
                }
            }
        }

        /// Scores of 8 queries and all keys; returns each query's largest.
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
        unsafe fn score(
            &mut self,
            bytes: &[[i8; HEAD]; ROWS],
            scales: &[f32; ROWS],
            offsets: &[i32; ROWS],
        ) -> [f32; ROWS] {
            let padded = self.scores.len() / ROWS;
            let mut most = [_mm512_set1_ps(f32::MIN); ROWS];
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
                for (m, (sum, scale)) in sums.into_iter().zip(scales).enumerate() {
                    let scale = _mm512_mul_ps(key_scales, _mm512_set1_ps(*scale));
                    let score = _mm512_mul_ps(_mm512_cvtepi32_ps(sum), scale);
                    let score = _mm512_mask_blend_ps(there, _mm512_set1_ps(f32::MIN), score);
                    most[m] = _mm512_max_ps(most[m], score);
                    // SAFETY: within row m of the scores.
                    unsafe {
                        let to = self.scores.as_mut_ptr().add(m * padded + t * LANES);
                        _mm512_storeu_ps(to, score);
                    }
                }
            }
            most.map(|most| _mm512_reduce_max_ps(most))
        }

        /// The scores' exponentials, in two bytes; returns their sums.
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
        unsafe fn weigh(&mut self, most: [f32; ROWS]) -> [f32; ROWS] {
            let padded = self.scores.len() / ROWS;
            let full = _mm512_set1_ps(255.0);
            std::array::from_fn(|m| {
                let most = _mm512_set1_ps(most[m]);
                let mut sum = _mm512_setzero_ps();
                for at in (m * padded..(m + 1) * padded).step_by(LANES) {
                    // SAFETY: within row m of the three.
                    unsafe {
                        let score = _mm512_loadu_ps(self.scores.as_ptr().add(at));
                        let weight = exp(_mm512_sub_ps(score, most));
                        sum = _mm512_add_ps(sum, weight);
                        let weight = _mm512_mul_ps(weight, full);
                        let above = _mm512_cvttps_epi32(weight);
                        let rest = _mm512_sub_ps(weight, _mm512_cvtepi32_ps(above));
                        let below = _mm512_cvtps_epi32(_mm512_mul_ps(rest, full));
                        let to = self.above.as_mut_ptr().add(at).cast();
                        _mm_storeu_si128(to, _mm512_cvtusepi32_epi8(above));
                        let to = self.below.as_mut_ptr().add(at).cast();
                        _mm_storeu_si128(to, _mm512_cvtusepi32_epi8(below));
                    }
                }
                _mm512_reduce_add_ps(sum)
            })
        }

        /// Four queries' weighted values, from the `half`-th of the eight on.
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
        unsafe fn mix(
            &self,
            half: usize,
            sums: &[f32; ROWS],
            queries: usize,
            first: usize,
            columns: &Range<usize>,
            y: &Columns,
        ) {
            // SAFETY: the caller's promise.
            let (above, below) = unsafe {
                (
                    self.products(&self.above, half),
                    self.products(&self.below, half),
                )
            };
            for m in half..queries.min(half + ROWS / 2) {
                let share = _mm512_set1_ps(1.0 / (255.0 * sums[m]));
                for part in 0..HEAD / LANES {
                    let at = part * LANES;
                    let (above, below) = (above[m - half][part], below[m - half][part]);
                    let below =
                        _mm512_mul_ps(_mm512_cvtepi32_ps(below), _mm512_set1_ps(1.0 / 255.0));
                    let mixed = _mm512_add_ps(_mm512_cvtepi32_ps(above), below);
                    // SAFETY: 64 of each; `at` holds the columns against y's size.
                    unsafe {
                        let scale = _mm512_loadu_ps(self.value_scales.as_ptr().add(at));
                        let mean = _mm512_loadu_ps(self.value_means.as_ptr().add(at));
                        let mixed = _mm512_fmadd_ps(mixed, _mm512_mul_ps(scale, share), mean);
                        _mm512_storeu_ps(y.at(first + m, columns).add(at), mixed);
                    }
                }
            }
        }

        /// Sums of one byte of the weights times the values, [queries, dimensions / 16].
        #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
        unsafe fn products(
            &self,
            weights: &[u8],
            half: usize,
        ) -> [[__m512i; HEAD / LANES]; ROWS / 2] {
            let padded = weights.len() / ROWS;
            let mut sums = [[_mm512_setzero_si512(); HEAD / LANES]; ROWS / 2];
            for (j, values) in self.values.chunks_exact(HEAD / LANES).enumerate() {
                let values: [__m512i; HEAD / LANES] =
                    // SAFETY: 64 bytes each, aligned.
                    std::array::from_fn(|i| unsafe { _mm512_load_si512((&raw const values[i].0).cast()) });
                for (m, sums) in sums.iter_mut().enumerate() {
                    // SAFETY: four bytes of row half + m.
                    let four = unsafe {
                        let row = weights.as_ptr().add((half + m) * padded);
                        row.cast::<i32>().add(j).read_unaligned()
                    };
                    for (sum, values) in sums.iter_mut().zip(values) {
                        *sum = _mm512_dpbusd_epi32(*sum, _mm512_set1_epi32(four), values);
                    }
                }
            }
            sums
        }
    }

    /// e^x for x of at most 0, to about 1e-6 of it.
    #[inline]
    #[target_feature(enable = "avx512f,avx512bw,avx512vl,avx512vnni")]
    fn exp(x: __m512) -> __m512 {
        let x = _mm512_max_ps(x, _mm512_set1_ps(-87.0));
        let x = _mm512_mul_ps(x, _mm512_set1_ps(std::f32::consts::LOG2_E));
        let whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        let rest = _mm512_sub_ps(x, whole);
        // 2^rest by Taylor's series at 0: (ln 2)^i / i!.
        let mut power = _mm512_set1_ps(1.333_355_8e-3);
        for c in [
            9.618_129e-3,
            5.550_411e-2,
            0.240_226_5,
            std::f32::consts::LN_2,
            1.0,
        ] {
            power = _mm512_fmadd_ps(power, rest, _mm512_set1_ps(c));
        }
        _mm512_scalef_ps(power, whole)
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
        let columns = Columns::new(&mut y, width);
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
