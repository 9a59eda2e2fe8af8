//! A few queries at a time: scores of all keys, weights in bytes, values weighted.

use std::array::from_fn;

use super::super::super::vectors::{LANES, Multiply, Vectors};
use super::super::products::{FourOf, Product, Sink};
use super::super::{Columns, exp2, first, highest};
use super::round::{UNSIGNED, rounded};
use super::{BLOCK, HEAD, Head, PARTS, ROWS};

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

/// Scores below this are rounded to less than 2^-3.
const NEAR: f32 = (1 << 20) as f32;

/// Queries whose scores are this far below what changes a weight score all keys alike.
const FAINT: f32 = 1e-30;

/// Vectors of a block's keys.
const TILES: usize = BLOCK / LANES;

impl Head {
    /// Up to 8 queries; the first is row `row` of y.
    #[inline(always)]
    pub(super) fn attend<V: Vectors>(
        &mut self,
        v: V,
        queries: &[&[[f32; LANES]; PARTS]],
        row: usize,
        y: &mut Columns,
    ) {
        let mut bytes = [[FourOf::<V>::default(); HEAD / 4]; ROWS];
        let mut scales = [1.0_f32; ROWS];
        for ((query, bytes), scale) in queries.iter().zip(&mut bytes).zip(&mut scales) {
            let (mut numbers, worth) = rounded(v, query.map(|part| v.load(&part)));
            *scale = worth * std::f32::consts::LOG2_E * self.unit;
            if *scale < FAINT {
                // Counts are divided by the scale.
                (numbers, *scale) = ([v.splat_integer(0); PARTS], 1.0);
            }
            for (numbers, to) in numbers.into_iter().zip(bytes.as_chunks_mut().0) {
                *to = V::Full::fours(v, v.add_integers(numbers, v.splat_integer(UNSIGNED)));
            }
        }
        self.score(v, bytes[..queries.len()].as_flattened(), &scales);
        let most = self.most.iter().fold([f32::MIN; ROWS], |most, block| {
            from_fn(|m| most[m].max(block[m]))
        });
        let mut mixed = Mixed {
            mixed: [[[0.0; LANES]; PARTS]; ROWS],
            shares: [0.0; LANES],
        };
        let mut sums = [v.splat(0.0); ROWS];
        let mut weights = [[FourOf::<V>::default(); BLOCK / 4]; ROWS];
        for block in 0..self.most.len() {
            let tops = self.most[block];
            for m in 0..ROWS {
                mixed.shares[m] = (tops[m] - most[m]) * scales[m];
            }
            mixed.shares = v.array(exp2(v, v.load(&mixed.shares)));
            for m in 0..queries.len() {
                let found = self.weigh(v, (block, m), (tops[m], scales[m]), &mut weights[m]);
                sums[m] = v.fma(found, v.splat(mixed.shares[m]), sums[m]);
            }
            let product = Product {
                x: weights[..queries.len()].as_flattened(),
                weights: &self.values[block * PARTS * (BLOCK / 4)..][..PARTS * (BLOCK / 4)],
                starts: &self.value_starts[block * PARTS..][..PARTS],
                fours: BLOCK / 4,
            };
            product.sum::<V, V::Full>(v, 0..PARTS, &mut mixed);
        }
        for (m, (mixed, sum)) in mixed.mixed.iter().zip(sums).take(queries.len()).enumerate() {
            let share = v.splat(1.0 / (255.0 * v.sum(sum)));
            let [to] = y.rows(row + m);
            for (part, to) in to.as_chunks_mut().0.iter_mut().enumerate() {
                let scale = v.mul(v.load(&self.value_scales[part]), share);
                let mean = v.load(&self.value_means[part]);
                *to = v.array(v.fma(v.load(&mixed[part]), scale, mean));
            }
        }
    }

    /// Scores of some queries and all keys, with the keys' counts, and the largest of each block.
    #[inline(always)]
    fn score<V: Vectors>(&mut self, v: V, queries: &[FourOf<V>], scales: &[f32; ROWS]) {
        let tiles = self.key_scales.len();
        let mut scores = Scores {
            tiles,
            scales: &self.key_scales,
            log_counts: &self.log_counts,
            // The scores are multiplied by the queries' scales later on, and the counts with them.
            log_units: scales.map(|scale| std::f32::consts::LOG2_E / scale),
            scores: &mut self.scores,
        };
        let product = Product {
            x: queries,
            weights: &self.keys,
            starts: &self.key_starts,
            fours: HEAD / 4,
        };
        for (block, most) in self.most.iter_mut().enumerate() {
            let mine = block * TILES..tiles.min((block + 1) * TILES);
            product.sum::<V, V::Full>(v, mine.clone(), &mut scores);
            for (m, most) in most.iter_mut().enumerate().take(queries.len() / (HEAD / 4)) {
                let scores = &mut scores.scores[m * tiles..][mine.clone()];
                if let Some(last) = scores.get_mut(self.n / LANES - mine.start) {
                    *last = v.array(first(v, self.n % LANES, v.load(last), v.splat(f32::MIN)));
                }
                let all = scores.iter().map(|score| v.load(score));
                *most = highest(
                    v,
                    all.fold(v.splat(f32::MIN), |most, score| v.max(most, score)),
                );
            }
        }
    }

    /// The weights of query m for a block's keys in bytes, 255 for the largest, `top`; returns their
    /// sum, by lane. Behind the last key they are zero: a query of zeros scores all keys alike, and
    /// what lies there is of an earlier question.
    #[inline(always)]
    fn weigh<V: Vectors>(
        &self,
        v: V,
        (block, m): (usize, usize),
        (top, scale): (f32, f32),
        weights: &mut [FourOf<V>; BLOCK / 4],
    ) -> V::F {
        let tiles = self.key_scales.len();
        let scores = &self.scores[m * tiles..][..tiles];
        let scores = &scores[block * TILES..tiles.min((block + 1) * TILES)];
        let less = top * scale;
        // Where the largest score is huge or beyond a float, its distance from the others may not be.
        let near = less.abs() < NEAR;
        let (most, scale, minus) = (v.splat(top), v.splat(scale), v.splat(-less));
        let zero = v.splat(0.0);
        let mut sum = zero;
        for (i, (scores, weights)) in scores.iter().zip(weights.as_chunks_mut().0).enumerate() {
            let score = v.load(scores);
            let mut weight = exp2(
                v,
                if near {
                    v.fma(score, scale, minus)
                } else {
                    v.mul(v.sub(score, most), scale)
                },
            );
            let left = self.n - block * BLOCK - i * LANES;
            if left < LANES {
                weight = first(v, left, weight, zero);
            }
            sum = v.add(sum, weight);
            let byte = v.truncate(v.fma(weight, v.splat(255.0), v.load(&ROUNDING)));
            *weights = V::Full::fours(v, v.min_integers(byte, v.splat_integer(255)));
        }
        sum
    }
}

/// Where scores go.
struct Scores<'a> {
    tiles: usize,
    scales: &'a [[f32; LANES]],
    log_counts: &'a [[f32; LANES]],
    /// What a count of one is in scores, by query.
    log_units: [f32; ROWS],
    scores: &'a mut [[f32; LANES]],
}

impl<V: Vectors> Sink<V> for Scores<'_> {
    #[inline(always)]
    fn take(&mut self, v: V, row: usize, tile: usize, sums: V::I) {
        let mut score = v.mul(v.to_floats(sums), v.load(&self.scales[tile]));
        if let Some(log_counts) = self.log_counts.get(tile) {
            score = v.fma(v.load(log_counts), v.splat(self.log_units[row]), score);
        }
        self.scores[row * self.tiles + tile] = v.array(score);
    }
}

/// Values, weighted, of some queries.
struct Mixed {
    mixed: [[[f32; LANES]; PARTS]; ROWS],
    /// What a block's largest weight is of all keys' largest, by query.
    shares: [f32; LANES],
}

impl<V: Vectors> Sink<V> for Mixed {
    #[inline(always)]
    fn take(&mut self, v: V, row: usize, tile: usize, sums: V::I) {
        let mixed = &mut self.mixed[row][tile];
        *mixed = v.array(v.fma(v.to_floats(sums), v.splat(self.shares[row]), v.load(mixed)));
    }
}
