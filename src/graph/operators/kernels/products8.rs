//! Products of many 8-bit rows and 8-bit weights.
//!
//! A row of x has its own scale and zero, a column of weights its own scale. With unsigned values u
//! around a zero z, the sum of `(u - z) w` is the sum of `u w` less z times the column's sum.

use super::super::vectors::{LANES, Multiply, Vectors, vectorized};
use super::products::{FourOf, Product, Sink, column_sums};
use super::room::{keep_room, take_room};
use super::{LIFT, SMALL, abs, exp2, highest, larger, largest};

/// Columns whose weights lie together.
pub(in super::super) const TILE: usize = LANES;
/// Rows that are best computed at once, of any back end.
pub(in super::super) const ROWS: usize = 12;

/// The widest rows of x: a sum of so many products of 255 and -128 is the largest in 32 bits.
pub(in super::super) const WIDEST: usize = (1 << 31) / (255 * 128) / 4 * 4;

/// What is made of a product.
#[derive(Clone, Copy)]
pub(in super::super) enum Activation {
    None,
    /// x Φ(x), Φ being the normal distribution's.
    Gelu,
}

/// A matrix [n, k] in 8 bits and what is added to its product.
pub(in super::super) struct Weights<'a> {
    /// [n / 16, k / 4, 16, 4].
    values: &'a [[[i8; 4]; TILE]],
    /// [n].
    scales: &'a [f32],
    /// [n].
    bias: &'a [f32],
    /// [n], see [`sums`].
    sums: &'a [[i32; TILE]],
    width: usize,
}

impl<'a> Weights<'a> {
    /// `None` where the sizes do not fit each other.
    pub fn new(
        values: &'a [i8],
        scales: &'a [f32],
        bias: &'a [f32],
        sums: &'a [[i32; TILE]],
        width: usize,
    ) -> Option<Weights<'a>> {
        let n = scales.len();
        let fits = (1..=WIDEST).contains(&width)
            && width.is_multiple_of(4)
            && n > 0
            && n == TILE * sums.len()
            && bias.len() == n
            && n.checked_mul(width) == Some(values.len());
        fits.then_some(Weights {
            values: values.as_chunks().0.as_chunks().0,
            scales,
            bias,
            width,
            sums,
        })
    }

    pub fn columns(&self) -> usize {
        self.scales.len()
    }
}

/// The sum of each column's values, [n / 16, 16].
pub(in super::super) fn sums<V: Vectors>(v: V, values: &[i8], width: usize) -> Vec<[i32; TILE]> {
    vectorized!(v, all_sums(values: &[i8], width: usize) -> Vec<[i32; TILE]>)
}

#[inline(always)]
fn all_sums<V: Vectors>(_: V, values: &[i8], width: usize) -> Vec<[i32; TILE]> {
    let (fours, _) = values.as_chunks().0.as_chunks::<TILE>();
    fours.chunks_exact(width / 4).map(column_sums).collect()
}

/// A few rows of x in 8 bits.
struct Quantized<X> {
    /// [rows, width / 4].
    values: Vec<X>,
    /// A row's scale and what stands for its zero.
    worth: Vec<(f32, f32)>,
}

impl<X> Default for Quantized<X> {
    fn default() -> Quantized<X> {
        let (values, worth) = Default::default();
        Quantized { values, worth }
    }
}

/// The rows of y [rows, columns] for as many rows of x [rows, width].
pub(in super::super) fn multiply<V: Vectors>(
    v: V,
    w: &Weights,
    x: &[f32],
    activation: Activation,
    y: &mut [f32],
) {
    assert!(y.len() == x.len() / w.width * w.columns());
    vectorized!(v, product(w: &Weights<'_>, x: &[f32], activation: Activation, y: &mut [f32]) -> ());
}

#[inline(always)]
fn product<V: Vectors>(v: V, w: &Weights, x: &[f32], activation: Activation, y: &mut [f32]) {
    let mut room = take_room::<Quantized<FourOf<V>>>();
    room.fill(v, w.width, x);
    let starts = w
        .sums
        .iter()
        .map(|sums| sums.map(|sum| V::Full::SHIFT.wrapping_mul(sum)));
    let product = Product {
        x: &room.values,
        weights: w.values,
        starts: &starts.collect::<Vec<_>>(),
        fours: w.width / 4,
    };
    let worth = &room.worth;
    let mut sink = Scaled { w, worth, y };
    for tile in (0..w.sums.len()).step_by(2) {
        let tiles = tile..w.sums.len().min(tile + 2);
        product.sum::<V, V::Full>(v, tiles.clone(), &mut sink);
        if let Activation::Gelu = activation {
            let columns = tiles.start * TILE..tiles.end * TILE;
            for y in sink.y.chunks_exact_mut(w.columns()) {
                activate(v, &mut y[columns.clone()]);
            }
        }
    }
    keep_room(room);
}

/// Makes numbers of sums.
struct Scaled<'a> {
    w: &'a Weights<'a>,
    worth: &'a [(f32, f32)],
    y: &'a mut [f32],
}

impl<V: Vectors> Sink<V> for Scaled<'_> {
    #[inline(always)]
    fn take(&mut self, v: V, row: usize, tile: usize, sums: V::I) {
        let (scale, zero) = self.worth[row];
        let columns = |x: &[f32]| v.load(&x.as_chunks().0[tile]);
        let all = v.to_floats(v.integers(&self.w.sums[tile]));
        let sum = v.fnma(v.splat(zero), all, v.to_floats(sums));
        let both = v.mul(v.splat(scale), columns(self.w.scales));
        let y = &mut self.y[row * self.w.columns()..][..self.w.columns()];
        y.as_chunks_mut().0[tile] = v.array(v.fma(sum, both, columns(self.w.bias)));
    }
}

impl<X: Copy + Default> Quantized<X> {
    /// Rounds rows to 0..=255.
    #[inline(always)]
    fn fill<V: Vectors>(&mut self, v: V, width: usize, x: &[f32])
    where
        V::Full: Multiply<V, Four = X>,
    {
        self.values.resize(x.len() / 4, X::default());
        self.worth.clear();
        let rows = x.chunks_exact(width);
        for (x, to) in rows.zip(self.values.chunks_exact_mut(width / 4)) {
            self.worth.push(quantize(v, x, to));
        }
    }
}

/// Rounds a row; returns its scale and what stands for zero. The scale of a row that is not finite is
/// no number.
#[inline(always)]
fn quantize<V: Vectors>(v: V, x: &[f32], to: &mut [FourOf<V>]) -> (f32, f32) {
    let (whole, rest) = x.as_chunks::<LANES>();
    let mut last = [0.0; LANES];
    last[..rest.len()].copy_from_slice(rest);
    let zeros = v.splat(0.0);
    let mut found = [zeros; 2];
    let mut most = v.splat_integer(0);
    for x in whole {
        (most, found) = extremes(v, x, most, found);
    }
    let (most, [low, high]) = extremes(v, &last, most, found);
    if !largest(v, most).is_finite() {
        to.fill(FourOf::<V>::default());
        return (f32::NAN, 0.0);
    }
    let (low, high) = (-highest(v, low), highest(v, high));
    let lift = if high - low < SMALL { LIFT } else { 1.0 };
    let (low, high) = (low * lift, high * lift);
    let range = high - low;
    let scale = if range.is_finite() {
        range / 255.0
    } else {
        high / 255.0 - low / 255.0
    };
    let inverse = if scale > 0.0 { 1.0 / scale } else { 0.0 };
    let zero = (-low * inverse).round_ties_even();
    let factors = [v.splat(lift), v.splat(inverse), v.splat(zero)];
    let (to, to_last) = to.as_chunks_mut::<{ LANES / 4 }>();
    for (x, to) in whole.iter().zip(to) {
        *to = numbers(v, x, factors);
    }
    to_last.copy_from_slice(&numbers(v, &last, factors)[..to_last.len()]);
    (scale / lift, zero)
}

/// The largest magnitude, and the largest of what is below zero and above it.
#[inline(always)]
fn extremes<V: Vectors>(
    v: V,
    x: &[f32; LANES],
    most: V::I,
    [low, high]: [V::F; 2],
) -> (V::I, [V::F; 2]) {
    let x = v.load(x);
    let low = v.max(low, v.sub(v.splat(0.0), x));
    (larger(v, most, x), [low, v.max(high, x)])
}

/// 16 numbers as bytes.
#[inline(always)]
fn numbers<V: Vectors>(
    v: V,
    x: &[f32; LANES],
    [lift, inverse, zero]: [V::F; 3],
) -> [FourOf<V>; LANES / 4] {
    let x = v.mul(v.mul(v.load(x), lift), inverse);
    let x = v.nearest(v.add(x, zero));
    let x = v.min_integers(v.max_integers(x, v.splat_integer(0)), v.splat_integer(255));
    V::Full::fours(v, x)
}

/// x Φ(x), to 1e-6: Φ as by Abramowitz and Stegun, 7.1.26.
#[inline(always)]
fn gelu<V: Vectors>(v: V, x: V::F) -> V::F {
    let one = v.splat(1.0);
    let z = v.mul(abs(v, x), v.splat(std::f32::consts::FRAC_1_SQRT_2));
    let t = v.div(one, v.fma(z, v.splat(0.327_591_1), one));
    let mut tail = v.splat(1.061_405_4);
    for c in [-1.453_152_1, 1.421_413_7, -0.284_496_74, 0.254_829_6] {
        tail = v.fma(tail, t, v.splat(c));
    }
    let square = v.mul(v.mul(z, z), v.splat(-std::f32::consts::LOG2_E));
    // Half of 1 - erf(z).
    let tail = v.mul(v.mul(tail, t), exp2(v, square));
    let tail = v.mul(tail, v.splat(0.5));
    let share = v.select(x, v.splat(0.0), v.sub(one, tail), tail);
    v.mul(x, share)
}

/// Activates some tiles' columns of a row of y.
#[inline(always)]
fn activate<V: Vectors>(v: V, y: &mut [f32]) {
    for y in y.as_chunks_mut::<TILE>().0 {
        *y = v.array(gelu(v, v.load(y)));
    }
}
