//! Products of bytes, summed exactly: the inner loop of every operator in 4 or 8 bits.
//!
//! Rows of x are taken in pairs, as many as the sums have registers for, and weights by tiles of 16
//! columns, four rows of them in a vector. A lone row is a pair with itself.

use std::array::from_fn;
use std::borrow::Borrow;
use std::ops::Range;

use super::super::vectors::{LANES, Multiply, Vectors};

/// Full bytes as the back end stores four of them.
pub(super) type FourOf<V> = <<V as Vectors>::Full as Multiply<V>>::Four;

/// Gets the sums of a product.
pub(super) trait Sink<V: Vectors> {
    /// Row `row` of x with the 16 columns of `tile`; called once for each.
    fn take(&mut self, v: V, row: usize, tile: usize, sums: V::I);
}

/// Rows of bytes and the columns that they are multiplied by.
pub(super) struct Product<'a, X, W> {
    /// [rows, fours].
    pub x: &'a [X],
    /// [tiles, fours].
    pub weights: &'a [W],
    /// What sums begin with, [tiles].
    pub starts: &'a [[i32; LANES]],
    pub fours: usize,
}

impl<X: Copy, W: Borrow<[[i8; 4]; LANES]>> Product<'_, X, W> {
    /// All rows with some tiles.
    #[inline(always)]
    pub fn sum<V, B>(&self, v: V, tiles: Range<usize>, to: &mut impl Sink<V>)
    where
        V: Vectors,
        B: Multiply<V, Four = X>,
    {
        let rows = self.x.len() / self.fours;
        let mut row = 0;
        while row < rows {
            let pairs = pairs::<V>(rows - row);
            match pairs {
                6 if V::PAIRS >= 6 => self.rows::<V, B, 6>(v, row, tiles.clone(), to),
                4 if V::PAIRS >= 4 => self.rows::<V, B, 4>(v, row, tiles.clone(), to),
                2 if V::PAIRS >= 2 => self.rows::<V, B, 2>(v, row, tiles.clone(), to),
                _ => self.rows::<V, B, 1>(v, row, tiles.clone(), to),
            }
            row += 2 * pairs;
        }
    }

    /// Some pairs of rows with some tiles.
    #[inline(always)]
    fn rows<V, B, const PAIRS: usize>(
        &self,
        v: V,
        row: usize,
        tiles: Range<usize>,
        to: &mut impl Sink<V>,
    ) where
        V: Vectors,
        B: Multiply<V, Four = X>,
    {
        let rows = self.x.len() / self.fours;
        let of = |row: usize| &self.x[row.min(rows - 1) * self.fours..][..self.fours];
        let x = from_fn(|p| from_fn(|r| of(row + 2 * p + r)));
        let left = (rows - row).min(2 * PAIRS);
        let mut tile = tiles.start;
        while tile < tiles.end {
            tile += if V::WIDE && tile + 1 < tiles.end {
                self.part::<V, B, PAIRS, 2>(v, x, (row, left), tile, to)
            } else {
                self.part::<V, B, PAIRS, 1>(v, x, (row, left), tile, to)
            };
        }
    }

    /// The same, of which `left` are there, with `TILES` of them; returns how many.
    #[inline(always)]
    fn part<V, B, const PAIRS: usize, const TILES: usize>(
        &self,
        v: V,
        x: [[&[X]; 2]; PAIRS],
        (row, left): (usize, usize),
        tile: usize,
        to: &mut impl Sink<V>,
    ) -> usize
    where
        V: Vectors,
        B: Multiply<V, Four = X>,
    {
        let weights = from_fn(|t| &self.weights[(tile + t) * self.fours..][..self.fours]);
        let mut starts = [[v.splat_integer(0); 2]; TILES];
        for (start, from) in starts.iter_mut().zip(&self.starts[tile..]) {
            *start = [v.integers(from); 2];
        }
        let sums = tile_sums::<V, B, W, PAIRS, TILES>(v, x, weights, [starts; PAIRS]);
        for (p, sums) in sums.into_iter().enumerate() {
            for (t, sums) in sums.into_iter().enumerate() {
                for (r, sums) in sums.into_iter().enumerate() {
                    if 2 * p + r < left {
                        to.take(v, row + 2 * p + r, tile + t, sums);
                    }
                }
            }
        }
        TILES
    }
}

/// The sum of each column's weights of a tile.
#[inline(always)]
pub(super) fn column_sums<W: Borrow<[[i8; 4]; LANES]>>(tile: &[W]) -> [i32; LANES] {
    let mut sums = [0; LANES];
    for fours in tile {
        for (sum, four) in sums.iter_mut().zip(fours.borrow()) {
            *sum += four.iter().map(|&w| i32::from(w)).sum::<i32>();
        }
    }
    sums
}

/// Pairs to take next of so many rows.
pub(super) fn pairs<V: Vectors>(rows: usize) -> usize {
    let fits = |&pairs: &usize| pairs <= V::PAIRS && 2 * pairs <= rows;
    [6, 4, 2].into_iter().find(fits).unwrap_or(1)
}

/// Adds the products of some pairs of rows with some tiles.
#[inline(always)]
pub(super) fn tile_sums<V, B, W, const PAIRS: usize, const TILES: usize>(
    v: V,
    x: [[&[B::Four]; 2]; PAIRS],
    weights: [&[W]; TILES],
    mut sums: [[[V::I; 2]; TILES]; PAIRS],
) -> [[[V::I; 2]; TILES]; PAIRS]
where
    V: Vectors,
    B: Multiply<V>,
    W: Borrow<[[i8; 4]; LANES]>,
{
    let fours = weights[0].len();
    let mut from = 0;
    while from < fours {
        let end = fours.min(from.saturating_add(B::RUN));
        let mut found = [[B::open(v, sums[0][0]); TILES]; PAIRS];
        for (found, sums) in found.iter_mut().zip(&sums) {
            for (found, sums) in found.iter_mut().zip(sums) {
                *found = B::open(v, *sums);
            }
        }
        let mut at = from;
        while at < end {
            let next = end.min(at + B::FOURS);
            let mut w = [B::weights(v, &weights[0][at..next]); TILES];
            for t in 1..TILES {
                w[t] = B::weights(v, &weights[t][at..next]);
            }
            for p in 0..PAIRS {
                let x = [&x[p][0][at..next], &x[p][1][at..next]];
                for t in 0..TILES {
                    found[p][t] = B::dot(v, found[p][t], w[t], x);
                }
            }
            at = next;
        }
        for (sums, found) in sums.iter_mut().zip(found) {
            for (sums, found) in sums.iter_mut().zip(found) {
                *sums = B::close(v, *sums, found);
            }
        }
        from = end;
    }
    sums
}
