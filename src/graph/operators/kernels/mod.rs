//! The operators' arithmetic, written once over [`Vectors`].
//!
//! [`products`] sums products of bytes, for [`products4`], [`products8`] and [`attention`]; [`cached`]
//! attends in float, [`snake`] and [`codec8`] are the codec's. A function that takes a token enters the code of its
//! back end once, at its top; what it calls is inlined there.
#![allow(clippy::needless_range_loop)] // loops over indices are unrolled wherever they stand

pub(super) mod attention;
pub(super) mod cache;
pub(super) mod cached;
pub(super) mod codec8;
mod columns;
mod products;
pub(super) mod products4;
pub(super) mod products8;
mod room;
pub(super) mod snake;

pub(super) use self::columns::{Columns, by_columns};
pub(super) use self::room::{keep_room, take_room};

use super::vectors::{LANES, Vectors};

/// Below this a vector is lifted by [`LIFT`] before it is rounded: the inverse of its scale would
/// overflow to infinity, and infinity times zero is no number.
const SMALL: f32 = 1e-30;
/// A power of two, so that nothing is rounded by it.
const LIFT: f32 = (1_u128 << 96) as f32;

/// The place of each lane.
const PLACES: [f32; LANES] = [
    0.0, 1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0, 14.0, 15.0,
];

/// x in the first `n` lanes, y in the others.
#[inline(always)]
fn first<V: Vectors>(v: V, n: usize, x: V::F, y: V::F) -> V::F {
    v.select(v.splat(n.min(LANES) as f32), v.load(&PLACES), x, y)
}

#[inline(always)]
fn abs<V: Vectors>(v: V, x: V::F) -> V::F {
    v.of_bits(v.and(v.bits(x), v.splat_integer(i32::MAX)))
}

/// The larger magnitudes of two vectors; no number where either is none.
///
/// Bits of magnitudes are ordered as the magnitudes are, with infinity and then what is no number
/// behind them, which a maximum of floats would pass over.
#[inline(always)]
fn larger<V: Vectors>(v: V, most: V::I, x: V::F) -> V::I {
    v.max_integers(most, v.bits(abs(v, x)))
}

/// The largest of what [`larger`] found.
#[inline(always)]
fn largest<V: Vectors>(v: V, most: V::I) -> f32 {
    let most = v.integer_array(most);
    f32::from_bits(most.into_iter().fold(0, i32::max) as u32)
}

/// The largest lane; what is no number is passed over.
///
/// Found among bits, as in [`larger`]: the largest above zero or, where none is, the smallest magnitude.
#[inline(always)]
fn highest<V: Vectors>(v: V, x: V::F) -> f32 {
    let x = v.max(x, v.splat(f32::MIN));
    let above = largest(v, v.bits(v.max(x, v.splat(0.0))));
    if above > 0.0 {
        return above;
    }
    let magnitudes = v.integer_array(v.bits(abs(v, x)));
    -f32::from_bits(magnitudes.into_iter().fold(i32::MAX, i32::min) as u32)
}

/// 2^x for x in 0..1 as a polynomial: a fit of least relative error, 3e-6.
const POWER: [f32; 5] = [
    1.000_002_6,
    0.693_003_83,
    0.241_442_74,
    0.052_011_5,
    0.013_534_147,
];

/// 2^x for x of at most 0; 0 where it would be denormal.
#[inline(always)]
fn exp2<V: Vectors>(v: V, x: V::F) -> V::F {
    let whole = v.floor(x);
    let rest = v.sub(x, whole);
    let mut power = v.splat(POWER[4]);
    for c in [POWER[3], POWER[2], POWER[1], POWER[0]] {
        power = v.fma(power, rest, v.splat(c));
    }
    v.scale(power, whole)
}

/// Rows and columns of 16 x 16 numbers exchanged.
#[inline(always)]
fn transpose<V: Vectors>(v: V, mut rows: [V::I; LANES]) -> [V::I; LANES] {
    for i in 0..4 {
        let quads = v.quads([
            rows[4 * i],
            rows[4 * i + 1],
            rows[4 * i + 2],
            rows[4 * i + 3],
        ]);
        rows[4 * i..4 * i + 4].copy_from_slice(&quads);
    }
    // Row 4 i + c has, in each of its quarters q, column 4 q + c of rows 4 i to 4 i + 3.
    for c in 0..4 {
        let [a, b, e, f] = v.quarters([rows[c], rows[4 + c], rows[8 + c], rows[12 + c]]);
        (rows[c], rows[4 + c], rows[8 + c], rows[12 + c]) = (a, b, e, f);
    }
    rows
}
