//! Keys and values in bytes: less their means, times a scale.

use super::super::super::vectors::{Fours, LANES, Multiply, Vectors};
use super::super::products::column_sums;
use super::super::{LIFT, SMALL, abs, larger, largest};
use super::{BLOCK, HEAD, Head, PARTS, ROWS, Rows};

/// Keys' scales above this are divided by it: a score is a product of a few thousands and a scale,
/// and may not be infinite before the query's scale makes it less.
const HUGE: f32 = (1_u128 << 64) as f32;

/// A key is multiplied by bytes of a query that are this much larger, to be unsigned.
pub(super) const UNSIGNED: i32 = 128;

impl Head {
    /// Rounds a head's keys and values.
    #[inline(always)]
    pub(super) fn round<V: Vectors>(&mut self, v: V, keys: Rows, values: Rows) {
        self.n = keys.len();
        let (tiles, blocks) = (self.n.div_ceil(LANES), self.n.div_ceil(BLOCK));
        self.scores.resize(ROWS * tiles, [0.0; LANES]);
        self.most.resize(blocks, [0.0; ROWS]);
        self.round_keys(v, keys, tiles);
        self.round_values(v, values, blocks);
    }

    /// Notes what each key stands for.
    pub(super) fn count(&mut self, log_counts: Option<&[f32]>) {
        self.log_counts.clear();
        if let Some(log_counts) = log_counts {
            let tiles = self.n.div_ceil(LANES);
            self.log_counts.resize(tiles, [0.0; LANES]);
            self.log_counts.as_flattened_mut()[..self.n].copy_from_slice(log_counts);
        }
    }

    #[inline(always)]
    fn round_keys<V: Vectors>(&mut self, v: V, keys: Rows, tiles: usize) {
        let means = means(v, keys).map(|mean| v.load(&mean));
        self.unit = 1.0;
        // What is there from before, behind the last key, is masked when scores are made of it.
        self.keys.resize(tiles * (HEAD / 4), Fours::default());
        self.key_scales.resize(tiles, [0.0; LANES]);
        self.key_starts.resize(tiles, [0; LANES]);
        for (i, key) in keys.iter().enumerate() {
            let mut moved = [means[0]; PARTS];
            for ((moved, key), mean) in moved.iter_mut().zip(key).zip(means) {
                *moved = v.sub(v.load(key), mean);
            }
            let (numbers, scale) = rounded(v, moved);
            let (tile, lane) = (i / LANES, i % LANES);
            self.key_scales[tile][lane] = scale;
            if scale > HUGE {
                self.unit = HUGE;
            }
            let mut sum = v.splat_integer(0);
            let tile_keys = &mut self.keys[tile * (HEAD / 4)..][..HEAD / 4];
            for (numbers, to) in numbers
                .into_iter()
                .zip(tile_keys.as_chunks_mut::<{ LANES / 4 }>().0)
            {
                sum = v.add_integers(sum, numbers);
                for (four, to) in v.low_bytes(numbers).as_chunks().0.iter().zip(to) {
                    to.0[lane] = *four;
                }
            }
            let sum: i32 = v.integer_array(sum).iter().sum();
            self.key_starts[tile][lane] = (V::Full::SHIFT - UNSIGNED) * sum;
        }
        if self.unit > 1.0 {
            let scales = self.key_scales.as_flattened_mut();
            scales.iter_mut().for_each(|scale| *scale /= self.unit);
        }
    }

    #[inline(always)]
    fn round_values<V: Vectors>(&mut self, v: V, values: Rows, blocks: usize) {
        self.value_means = means(v, values);
        let mut most = [[0.0_f32; LANES]; PARTS];
        for row in values.iter() {
            let row = row
                .as_flattened()
                .iter()
                .zip(self.value_means.as_flattened());
            for (most, (x, mean)) in most.as_flattened_mut().iter_mut().zip(row) {
                *most = most.max((x - mean).abs());
            }
        }
        // Values of a lifted column are lifted too, before they are rounded.
        let lift = most.map(|most| most.map(|most| if most < SMALL { LIFT } else { 1.0 }));
        self.value_scales = most.map(|most| most.map(|most| most / 127.0));
        let mut inverse = most;
        for (x, lift) in inverse
            .as_flattened_mut()
            .iter_mut()
            .zip(lift.as_flattened())
        {
            *x = 127.0 / (*x * lift);
            *x = if x.is_finite() { *x } else { 0.0 };
        }
        self.values.clear();
        self.values
            .resize(blocks * PARTS * (BLOCK / 4), Fours::default());
        let rows: Vec<_> = values.iter().collect();
        for (group, rows) in rows.chunks(4).enumerate() {
            let (block, at) = (group / (BLOCK / 4), group % (BLOCK / 4));
            let to = self.values[block * PARTS * (BLOCK / 4)..].chunks_exact_mut(BLOCK / 4);
            for (part, to) in to.take(PARTS).enumerate() {
                let mean = v.load(&self.value_means[part]);
                let factors = [v.load(&lift[part]), v.load(&inverse[part])];
                let mut bytes = v.splat_integer(0);
                for row in rows.iter().rev() {
                    let x = v.mul(
                        v.mul(v.sub(v.load(&row[part]), mean), factors[0]),
                        factors[1],
                    );
                    bytes = v.append(bytes, v.and(v.nearest(x), v.splat_integer(255)));
                }
                to[at] = Fours(v.byte_array(bytes));
            }
        }
        self.value_starts.clear();
        self.value_starts.resize(blocks * PARTS, [0; LANES]);
        if V::Full::SHIFT != 0 {
            let tiles = self.values.chunks_exact(BLOCK / 4);
            for (start, values) in self.value_starts.iter_mut().zip(tiles) {
                *start = column_sums(values).map(|sum| V::Full::SHIFT * sum);
            }
        }
    }
}

/// Means beyond this are not taken off: they may have overflowed, or make a value overflow. A mean
/// that is no number is: then a key or value is none, and the result is to say so.
const LARGEST_MEAN: f32 = 1e30;

/// The mean of each column.
#[inline(always)]
fn means<V: Vectors>(v: V, rows: Rows) -> [[f32; LANES]; PARTS] {
    let mut sums = [v.splat(0.0); PARTS];
    for row in rows.iter() {
        for (sum, x) in sums.iter_mut().zip(row) {
            *sum = v.add(*sum, v.load(x));
        }
    }
    let (n, most) = (v.splat(rows.len().max(1) as f32), v.splat(LARGEST_MEAN));
    let mut means = [[0.0; LANES]; PARTS];
    for (mean, sum) in means.iter_mut().zip(sums) {
        let all = v.div(sum, n);
        *mean = v.array(v.select(abs(v, all), most, v.splat(0.0), all));
    }
    means
}

/// A head's vector in whole numbers up to 127 and what one is worth; of a vector that is not finite,
/// no number.
#[inline(always)]
pub(super) fn rounded<V: Vectors>(v: V, mut x: [V::F; PARTS]) -> ([V::I; PARTS], f32) {
    let mut numbers = [v.splat_integer(0); PARTS];
    let mut most = numbers[0];
    for x in x {
        most = larger(v, most, x);
    }
    let most = largest(v, most);
    if most == 0.0 {
        return (numbers, 0.0);
    }
    if !most.is_finite() {
        return (numbers, f32::NAN);
    }
    let lift = if most < SMALL { LIFT } else { 1.0 };
    let inverse = v.splat(127.0 / (most * lift));
    for (x, number) in x.iter_mut().zip(&mut numbers) {
        *number = v.nearest(v.mul(v.mul(*x, v.splat(lift)), inverse));
    }
    (numbers, most / 127.0)
}
