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

use std::cell::RefCell;

use super::{Avx512, Columns};

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
    /// What is added to each key's score: the logarithm of how many keys it stands for.
    pub log_counts: Option<&'a [f32]>,
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
    /// [queries, keys], the keys' number rounded up; times the query's scale and `unit`.
    scores: Vec<f32>,
    /// The largest score of each block, [blocks, queries].
    most: Vec<[f32; ROWS]>,
    /// What the keys' scales were divided by, 1 unless they are huge.
    unit: f32,
    /// [keys / 16]; empty where every key stands for itself alone.
    log_counts: Vec<[f32; LANES]>,
    n: usize,
}

thread_local! {
    static ROOM: RefCell<Head> = RefCell::default();
}

/// Writes one head's columns of y [queries, width].
pub(in super::super) fn attend(_: Avx512, heads: &Heads, mut y: Columns) {
    let columns = y.range();
    assert!(columns.len() == HEAD && columns.end <= heads.width);
    assert!(heads.keys.len() == heads.values.len() && heads.keys.len() >= heads.width);
    ROOM.with_borrow_mut(|room| {
        // SAFETY: the token proves that the instructions are there.
        unsafe { room.round(heads, &columns) };
        let queries = heads.queries.chunks_exact(heads.width);
        let queries: Vec<&[f32]> = queries.map(|row| &row[columns.clone()]).collect();
        for (i, queries) in queries.chunks(ROWS).enumerate() {
            // SAFETY: as above; `round` gave the room its sizes for these keys, and every query has
            // the columns' 64 numbers.
            unsafe { room.attend(queries, i * ROWS, &columns, &mut y) };
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn eight_bits_attend_as_floats_do() {
        attends_as_floats_do(None);
    }

    #[test]
    fn a_key_that_stands_for_many_is_weighed_as_many() {
        attends_as_floats_do(Some((0..203).map(|k| ((1 + k % 9) as f32).ln()).collect()));
    }

    fn attends_as_floats_do(counts: Option<Vec<f32>>) {
        let Some(avx512) = Avx512::detect() else {
            return;
        };
        // As many keys and queries as fill no vector, two heads, keys with a common part.
        let (nk, nq, width) = (203, 21, 2 * HEAD);
        let draw = |i: usize| ((i * 7919 % 10_007) as f32 / 5003.5 - 1.0) * 1.5;
        let mut queries: Vec<f32> = (0..nq * width).map(draw).collect();
        queries[3 * width..4 * width].fill(0.0);
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
            log_counts: counts.as_deref(),
        };
        (0..2).for_each(|head| {
            attend(
                avx512,
                &heads,
                Columns::part(&mut y, width, head * HEAD..(head + 1) * HEAD),
            )
        });
        for q in 0..nq {
            for head in 0..2 {
                let of = |all: &[f32], row: usize| -> Vec<f64> {
                    let at = row * width + head * HEAD;
                    all[at..at + HEAD].iter().map(|&x| f64::from(x)).collect()
                };
                let query = of(&queries, q);
                let score =
                    |k| -> f64 { of(&keys, k).iter().zip(&query).map(|(a, b)| a * b).sum() };
                let count = |k: usize| counts.as_ref().map_or(0.0, |counts| counts[k].into());
                let scores: Vec<f64> = (0..nk).map(|k| score(k) + count(k)).collect();
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
