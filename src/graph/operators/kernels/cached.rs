//! Causal attention over a cache of keys and values in float, for the decoder.
//!
//! Heads of one group share their keys, so they are read once for all of them, and queries are taken
//! eight at a time whatever head or position they are of. Keys may be split into spans, whose partial
//! results are merged afterwards, as flash decoding does.

use std::ops::Range;

use super::super::vectors::{LANES, Vectors, vectorized};
use super::{exp2, first, highest, transpose};

/// Queries at a time.
pub(in super::super) const ROWS: usize = 8;
/// Of these, how many have their sums in registers at once.
const FEW: usize = 4;
/// Keys at a time.
const BLOCK: usize = 128;
/// The largest head.
pub(in super::super) const LARGEST_HEAD: usize = 256;

/// One row's keys and values of one group: [positions, parts] each, a head being whole vectors.
#[derive(Clone, Copy)]
pub(in super::super) struct Group<'a> {
    keys: &'a [[f32; LANES]],
    values: &'a [[f32; LANES]],
    parts: usize,
}

impl<'a> Group<'a> {
    pub fn new(keys: &'a [f32], values: &'a [f32], head: usize) -> Group<'a> {
        assert!(head > 0 && head.is_multiple_of(LANES) && head <= LARGEST_HEAD);
        let (keys, values) = (keys.as_chunks().0, values.as_chunks().0);
        let parts = head / LANES;
        Group {
            keys,
            values,
            parts,
        }
    }
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
    /// [rows, parts].
    mixed: Vec<[f32; LANES]>,
    most: [f32; ROWS],
    sums: [f32; ROWS],
}

impl Partial {
    /// Nothing yet.
    fn new(parts: usize) -> Partial {
        Partial {
            mixed: vec![[0.0; LANES]; ROWS * parts],
            most: [f32::MIN; ROWS],
            sums: [0.0; ROWS],
        }
    }

    /// A query's values.
    fn row(&mut self, row: usize) -> &mut [f32] {
        let parts = self.mixed.len() / ROWS;
        self.mixed[row * parts..][..parts].as_flattened_mut()
    }

    /// Takes in another span's result.
    pub fn merge(&mut self, other: &mut Partial) {
        for row in 0..ROWS {
            let most = self.most[row].max(other.most[row]);
            let [mine, its] = [self.most[row], other.most[row]].map(|old| power(old - most));
            for (x, y) in self.row(row).iter_mut().zip(other.row(row)) {
                *x = *x * mine + *y * its;
            }
            self.sums[row] = self.sums[row] * mine + other.sums[row] * its;
            self.most[row] = most;
        }
    }

    /// A query's output, into [head].
    pub fn write(&mut self, row: usize, to: &mut [f32]) {
        let sum = self.sums[row];
        for (to, x) in to.iter_mut().zip(self.row(row)) {
            *to = *x / sum;
        }
    }
}

/// 2^x, the same on every machine, as a library's is not: its series in doubles, to 1e-12.
fn power(x: f32) -> f32 {
    let x = f64::from(x).clamp(-200.0, 200.0);
    let whole = x.round_ties_even();
    let z = (x - whole) * std::f64::consts::LN_2;
    let series = (1..=10)
        .rev()
        .fold(1.0, |sum, n| 1.0 + sum * z / f64::from(n));
    let scale = f64::from_bits(((whole as i64 + 1023) << 52) as u64);
    (series * scale) as f32
}

/// Attention of the queries to the keys of `span`. Nothing outside of the span is read, so what an
/// earlier question left in the cache behind it has no part in the result.
pub(in super::super) fn attend_span<V: Vectors>(
    v: V,
    group: Group,
    queries: Queries,
    span: Range<usize>,
) -> Partial {
    let mut rows = [[0.0; LANES]; ROWS * LARGEST_HEAD / LANES];
    rows.as_flattened_mut()[..queries.rows.len()].copy_from_slice(queries.rows);
    let rows = &rows[..ROWS * group.parts];
    let (mut partial, seen) = (Partial::new(group.parts), &queries.seen);
    let all = &mut partial;
    vectorized!(v, attend(
        group: Group<'_>, rows: &[[f32; LANES]], seen: &[usize; ROWS], span: Range<usize>, all: &mut Partial
    ) -> ());
    partial
}

#[inline(always)]
fn attend<V: Vectors>(
    v: V,
    group: Group,
    rows: &[[f32; LANES]],
    seen: &[usize; ROWS],
    span: Range<usize>,
    partial: &mut Partial,
) {
    for start in span.clone().step_by(BLOCK) {
        let block = start..span.end.min(start + BLOCK);
        let mut scores = [[[f32::NEG_INFINITY; LANES]; BLOCK / LANES]; ROWS];
        score(v, group, rows, seen, &block, &mut scores);
        weigh(v, &mut scores, partial);
        let (all, parts) = (&mut partial.mixed, group.parts);
        let wide = if V::WIDE { parts / 4 * 4 } else { 0 };
        for part in (0..wide).step_by(4) {
            mix::<V, 4>(v, group, part, &block, &scores, all);
        }
        for part in wide..parts {
            mix::<V, 1>(v, group, part, &block, &scores, all);
        }
    }
}

/// Scores of a block's keys; of those that a query may not see, minus infinity.
#[inline(always)]
fn score<V: Vectors>(
    v: V,
    group: Group,
    rows: &[[f32; LANES]],
    seen: &[usize; ROWS],
    block: &Range<usize>,
    scores: &mut [[[f32; LANES]; BLOCK / LANES]; ROWS],
) {
    let Group { keys, parts, .. } = group;
    for from in block.clone().step_by(LANES) {
        let mut sums = [v.splat(0.0); ROWS];
        for part in 0..parts {
            let mut turned = [v.splat_integer(0); LANES];
            for (i, turned) in turned.iter_mut().enumerate() {
                // The block's last key in place of those behind it.
                let key = (from + i).min(block.end - 1);
                *turned = v.bits(v.load(&keys[key * parts + part]));
            }
            let turned = transpose(v, turned);
            for (few, sums) in sums.as_chunks_mut::<FEW>().0.iter_mut().enumerate() {
                let mut found = *sums;
                let mut queries = [&rows[0]; FEW];
                for (i, query) in queries.iter_mut().enumerate() {
                    *query = &rows[(few * FEW + i) * parts + part];
                }
                for (d, turned) in turned.into_iter().enumerate() {
                    for (sum, query) in found.iter_mut().zip(queries) {
                        *sum = v.fma(v.of_bits(turned), v.splat(query[d]), *sum);
                    }
                }
                *sums = found;
            }
        }
        let at = (from - block.start) / LANES;
        for ((sum, seen), scores) in sums.into_iter().zip(seen).zip(scores.iter_mut()) {
            let left = seen.min(&block.end).saturating_sub(from);
            scores[at] = v.array(first(v, left, sum, v.splat(f32::NEG_INFINITY)));
        }
    }
}

/// Makes weights of a block's scores, and scales the partial result down where a score is above all
/// so far. Keys that a query may not see have a weight of zero.
#[inline(always)]
fn weigh<V: Vectors>(
    v: V,
    scores: &mut [[[f32; LANES]; BLOCK / LANES]; ROWS],
    partial: &mut Partial,
) {
    for (row, scores) in scores.iter_mut().enumerate() {
        let mut most = v.splat(partial.most[row]);
        for scores in scores.iter() {
            most = v.max(most, v.load(scores));
        }
        let most = highest(v, most);
        if most > partial.most[row] {
            let share = power(partial.most[row] - most);
            partial.row(row).iter_mut().for_each(|x| *x *= share);
            partial.sums[row] *= share;
            partial.most[row] = most;
        }
        let mut sum = v.splat(0.0);
        for scores in scores {
            let weight = exp2(v, v.sub(v.load(scores), v.splat(most)));
            sum = v.add(sum, weight);
            *scores = v.array(weight);
        }
        partial.sums[row] += v.sum(sum);
    }
}

/// Adds `P` vectors of a block's values from `part` on, weighted.
#[inline(always)]
fn mix<V: Vectors, const P: usize>(
    v: V,
    group: Group,
    part: usize,
    block: &Range<usize>,
    weights: &[[[f32; LANES]; BLOCK / LANES]; ROWS],
    mixed: &mut [[f32; LANES]],
) {
    let (few, _) = weights.as_chunks::<FEW>();
    for (few, weights) in few.iter().enumerate() {
        let mut sums = [[v.splat(0.0); P]; FEW];
        for (i, key) in block.clone().enumerate() {
            let value = &group.values[key * group.parts + part..][..P];
            for (sums, weights) in sums.iter_mut().zip(weights) {
                let weight = v.splat(weights.as_flattened()[i]);
                for (sum, value) in sums.iter_mut().zip(value) {
                    *sum = v.fma(weight, v.load(value), *sum);
                }
            }
        }
        for (row, sums) in sums.into_iter().enumerate() {
            let mixed = &mut mixed[(few * FEW + row) * group.parts + part..][..P];
            for (mixed, sum) in mixed.iter_mut().zip(sums) {
                *mixed = v.array(v.add(v.load(mixed), sum));
            }
        }
    }
}
