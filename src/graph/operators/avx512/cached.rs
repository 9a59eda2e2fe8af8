//! Causal attention over a cache of keys and values in float, for the decoder.
//!
//! Heads of one group share their keys, so they are read once for all of them, and queries are taken
//! eight at a time whatever head or position they are of. Keys may be split into spans, whose partial
//! results are merged afterwards, as flash decoding does.

use std::arch::x86_64::*;
use std::ops::Range;

use super::{Avx512, exp2, transpose};

/// Queries at a time.
pub(in super::super) const ROWS: usize = 8;
/// Numbers of a vector.
const LANES: usize = 16;
/// Keys at a time.
const BLOCK: usize = 128;
/// The largest head.
pub(in super::super) const LARGEST_HEAD: usize = 256;

/// One row's keys and values of one group: [positions, head] each.
#[derive(Clone, Copy)]
pub(in super::super) struct Group<'a> {
    pub keys: &'a [f32],
    pub values: &'a [f32],
    pub head: usize,
}

/// Up to eight queries [rows, head], scaled so that weights are powers of two, and how many of the
/// first keys each may see.
#[derive(Clone, Copy)]
pub(in super::super) struct Queries<'a> {
    pub rows: &'a [f32],
    pub seen: [usize; ROWS],
}

/// The partial result of a span of keys: values weighted by 2^(score - most), and the weights' sum.
#[derive(Clone)]
pub(in super::super) struct Partial {
    mixed: Vec<f32>,
    most: [f32; ROWS],
    sums: [f32; ROWS],
}

impl Partial {
    /// Nothing yet.
    pub fn new(head: usize) -> Partial {
        Partial {
            mixed: vec![0.0; ROWS * head],
            most: [f32::MIN; ROWS],
            sums: [0.0; ROWS],
        }
    }

    /// Takes in another span's result.
    pub fn merge(&mut self, other: &Partial) {
        let head = self.mixed.len() / ROWS;
        for row in 0..ROWS {
            let most = self.most[row].max(other.most[row]);
            let [mine, its] = [self.most[row], other.most[row]].map(|old| (old - most).exp2());
            let at = row * head..(row + 1) * head;
            for (x, y) in self.mixed[at.clone()].iter_mut().zip(&other.mixed[at]) {
                *x = *x * mine + y * its;
            }
            self.sums[row] = self.sums[row] * mine + other.sums[row] * its;
            self.most[row] = most;
        }
    }

    /// A query's output, into [head].
    pub fn write(&self, row: usize, to: &mut [f32]) {
        let mixed = &self.mixed[row * to.len()..];
        for (to, x) in to.iter_mut().zip(mixed) {
            *to = x / self.sums[row];
        }
    }
}

/// Attention of the queries to the keys of `span`. Nothing outside of the span is read, so what an
/// earlier question left in the cache behind it has no part in the result.
pub(in super::super) fn attend_span(
    _: Avx512,
    group: Group,
    queries: Queries,
    span: Range<usize>,
) -> Partial {
    let Group { keys, values, head } = group;
    assert!(head > 0 && head.is_multiple_of(LANES) && head <= LARGEST_HEAD);
    assert!(span.end <= keys.len() / head && keys.len() == values.len());
    assert!(queries.rows.len() <= ROWS * head && queries.rows.len().is_multiple_of(head));
    let mut rows = [0.0; ROWS * LARGEST_HEAD];
    rows[..queries.rows.len()].copy_from_slice(queries.rows);
    let mut partial = Partial::new(head);
    for start in span.clone().step_by(BLOCK) {
        let block = start..span.end.min(start + BLOCK);
        // SAFETY: the token proves that the instructions are there. By the assertions the block's end
        // is no farther than the keys and values go, and a head is whole vectors.
        unsafe {
            let mut scores = [[f32::MIN; BLOCK]; ROWS];
            score(group, &rows, &queries.seen, &block, &mut scores);
            weigh(&mut scores, &mut partial);
            match head / LANES {
                1 => mix::<1>(group, &block, &scores, &mut partial.mixed),
                2 => mix::<2>(group, &block, &scores, &mut partial.mixed),
                4 => mix::<4>(group, &block, &scores, &mut partial.mixed),
                n => (0..n).for_each(|part| {
                    mix_part(group, &block, &scores, part, &mut partial.mixed);
                }),
            }
        }
    }
    partial
}

/// Scores of a block's keys; those that a query may not see stay as they are.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn score(
    group: Group,
    rows: &[f32; ROWS * LARGEST_HEAD],
    seen: &[usize; ROWS],
    block: &Range<usize>,
    scores: &mut [[f32; BLOCK]; ROWS],
) {
    let Group { keys, head, .. } = group;
    for first in block.clone().step_by(LANES) {
        let mut sums = [_mm512_setzero_ps(); ROWS];
        for part in (0..head).step_by(LANES) {
            // The block's last key in place of those behind it.
            // SAFETY: a key below the block's end has `head` numbers, as the caller asserted; `head`
            // is a multiple of 16, so 16 of them start at `part`.
            let turned = transpose(std::array::from_fn(|i| unsafe {
                let key = (first + i).min(block.end - 1);
                _mm512_loadu_si512(keys.as_ptr().add(key * head + part).cast())
            }));
            for (d, turned) in turned.into_iter().enumerate() {
                let turned = _mm512_castsi512_ps(turned);
                for (row, sum) in sums.iter_mut().enumerate() {
                    let query = _mm512_set1_ps(rows[row * head + part + d]);
                    *sum = _mm512_fmadd_ps(turned, query, *sum);
                }
            }
        }
        for ((sum, seen), scores) in sums.into_iter().zip(seen).zip(scores.iter_mut()) {
            let left = seen.min(&block.end).saturating_sub(first);
            let there: __mmask16 = if left < LANES { (1 << left) - 1 } else { !0 };
            // SAFETY: `first` goes from the block's start in steps of 16 and a block has at most 128
            // keys, a multiple of 16, so 16 of the 128 scores start here.
            unsafe {
                let to = scores.as_mut_ptr().add(first - block.start);
                _mm512_mask_storeu_ps(to, there, sum);
            }
        }
    }
}

/// Makes weights of a block's scores, and scales the partial result down where a score is above all
/// so far. Keys that a query may not see have a weight of zero.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn weigh(scores: &mut [[f32; BLOCK]; ROWS], partial: &mut Partial) {
    let head = partial.mixed.len() / ROWS;
    for (row, scores) in scores.iter_mut().enumerate() {
        let (scores, _) = scores.as_chunks_mut::<LANES>();
        let mut most = _mm512_set1_ps(partial.most[row]);
        for scores in scores.iter() {
            // SAFETY: `as_chunks_mut` made it an array of 16 numbers.
            most = _mm512_max_ps(most, unsafe { _mm512_loadu_ps(scores.as_ptr()) });
        }
        let most = _mm512_reduce_max_ps(most);
        if most > partial.most[row] {
            let share = (partial.most[row] - most).exp2();
            let mixed = &mut partial.mixed[row * head..(row + 1) * head];
            mixed.iter_mut().for_each(|x| *x *= share);
            partial.sums[row] *= share;
            partial.most[row] = most;
        }
        let mut sum = _mm512_setzero_ps();
        for scores in scores {
            // SAFETY: as above.
            unsafe {
                let score = _mm512_loadu_ps(scores.as_ptr());
                // What is no number is there, and shows in the result.
                let there = _mm512_cmp_ps_mask::<_CMP_NLE_UQ>(score, _mm512_set1_ps(f32::MIN));
                let weight = exp2(_mm512_sub_ps(score, _mm512_set1_ps(most)));
                let weight = _mm512_maskz_mov_ps(there, weight);
                sum = _mm512_add_ps(sum, weight);
                _mm512_storeu_ps(scores.as_mut_ptr(), weight);
            }
        }
        partial.sums[row] += _mm512_reduce_add_ps(sum);
    }
}

/// Adds a block's values, weighted: heads of V vectors, four queries at a time.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn mix<const V: usize>(
    group: Group,
    block: &Range<usize>,
    weights: &[[f32; BLOCK]; ROWS],
    mixed: &mut [f32],
) {
    let head = V * LANES;
    for half in [0, ROWS / 2] {
        let mut sums = [[_mm512_setzero_ps(); V]; ROWS / 2];
        for (i, key) in block.clone().enumerate() {
            // SAFETY: a key below the block's end has `head` values, as the caller asserted, and it calls
            // this function with V vectors to a head.
            let value: [__m512; V] = std::array::from_fn(|v| unsafe {
                _mm512_loadu_ps(group.values.as_ptr().add(key * head + v * LANES))
            });
            for (sums, weights) in sums.iter_mut().zip(&weights[half..]) {
                let weight = _mm512_set1_ps(weights[i]);
                for (sum, value) in sums.iter_mut().zip(value) {
                    *sum = _mm512_fmadd_ps(weight, value, *sum);
                }
            }
        }
        let (mixed, _) = mixed[half * head..].as_chunks_mut::<LANES>();
        for (sum, mixed) in sums.into_iter().flatten().zip(mixed) {
            // SAFETY: the instructions are here, as in this function.
            unsafe { add(mixed, sum) };
        }
    }
}

/// The same for one vector of heads of any size.
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn mix_part(
    group: Group,
    block: &Range<usize>,
    weights: &[[f32; BLOCK]; ROWS],
    part: usize,
    mixed: &mut [f32],
) {
    let mut sums = [_mm512_setzero_ps(); ROWS];
    for (i, key) in block.clone().enumerate() {
        let at = key * group.head + part * LANES;
        // SAFETY: a key below the block's end has `head` values, as the caller asserted, and `part` is
        // below the number of vectors in a head.
        let value = unsafe { _mm512_loadu_ps(group.values.as_ptr().add(at)) };
        for (sum, weights) in sums.iter_mut().zip(weights) {
            *sum = _mm512_fmadd_ps(_mm512_set1_ps(weights[i]), value, *sum);
        }
    }
    for (row, sum) in sums.into_iter().enumerate() {
        let at = row * group.head + part * LANES;
        if let Some(mixed) = mixed[at..].first_chunk_mut::<LANES>() {
            // SAFETY: the instructions are here, as in this function.
            unsafe { add(mixed, sum) };
        }
    }
}

#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
unsafe fn add(to: &mut [f32; LANES], more: __m512) {
    // SAFETY: an array of 16 numbers.
    unsafe {
        let sum = _mm512_add_ps(_mm512_loadu_ps(to.as_ptr()), more);
        _mm512_storeu_ps(to.as_mut_ptr(), sum);
    }
}
