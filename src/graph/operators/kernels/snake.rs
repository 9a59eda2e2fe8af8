//! The codec's activation and its depthwise convolution, channels side by side.

use super::super::vectors::{LANES, Vectors, vectorized};

/// π in parts of few bits, so that k π is subtracted without rounding for small whole k.
const PI: [f32; 3] = [3.140625, 9.675_026e-4, 1.509_958e-7];
/// sin(r)² = v P(v), P of these, for v = r² up to (π/2)²: a least-squares fit at Chebyshev's points, exact to
/// 1e-8.
const SQUARE: [f32; 6] = [
    1.0,
    -0.333_333_07,
    0.044_443_183,
    -0.003_172_404,
    1.393_519_4e-4,
    -3.631_499e-6,
];

/// The parameters of an activation, [channels] each.
#[derive(Clone, Copy)]
pub(in super::super) struct Snake<'a> {
    pub alpha: &'a [f32],
    pub inverse: &'a [f32],
}

impl Snake<'_> {
    /// alpha and inverse of `n` channels from `at` on.
    #[inline(always)]
    fn some<V: Vectors>(&self, v: V, at: usize, n: usize) -> [V::F; 2] {
        [some(v, self.alpha, at, n), some(v, self.inverse, at, n)]
    }
}

/// Positions that one output of a convolution sees.
pub(in super::super) const TAPS: usize = 7;

/// A depthwise convolution: weights [taps, channels] and a bias [channels].
#[derive(Clone, Copy)]
pub(in super::super) struct Convolution<'a> {
    pub weight: &'a [f32],
    pub bias: &'a [f32],
    /// Numbers of x between two taps.
    pub step: usize,
}

/// Snake of the first rows of x, as many as y has.
pub(in super::super) fn activate<V: Vectors>(v: V, x: &[f32], snake: Snake, y: &mut [f32]) {
    vectorized!(v, activate_rows(x: &[f32], snake: Snake<'_>, y: &mut [f32]) -> ());
}

#[inline(always)]
fn activate_rows<V: Vectors>(v: V, x: &[f32], snake: Snake, y: &mut [f32]) {
    let width = snake.alpha.len();
    for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
        for (at, n) in vectors_of(width) {
            let x = some(v, x, at, n);
            put(v, apply(v, snake.some(v, at, n), x), &mut y[at..at + n]);
        }
    }
}

/// Row i of y is Snake of the bias and tap k's weights times what lies k steps behind the i-th row of
/// x.
pub(in super::super) fn convolve<V: Vectors>(
    v: V,
    x: &[f32],
    conv: Convolution,
    after: Snake,
    y: &mut [f32],
) {
    vectorized!(v, convolve_rows(x: &[f32], conv: Convolution<'_>, after: Snake<'_>, y: &mut [f32]) -> ());
}

/// Channels outside, so that the weights of 16 stay in registers for all rows.
#[inline(always)]
fn convolve_rows<V: Vectors>(v: V, x: &[f32], conv: Convolution, after: Snake, y: &mut [f32]) {
    let width = conv.bias.len();
    for (at, n) in vectors_of(width) {
        let mut weights = [v.splat(0.0); TAPS];
        for (weight, from) in weights.iter_mut().zip(conv.weight.chunks_exact(width)) {
            *weight = some(v, from, at, n);
        }
        let (bias, after) = (some(v, conv.bias, at, n), after.some(v, at, n));
        for (i, y) in y.chunks_exact_mut(width).enumerate() {
            let mut sum = bias;
            for k in 0..TAPS {
                let x = some(v, x, i * width + k * conv.step + at, n);
                sum = v.fma(weights[k], x, sum);
            }
            put(v, apply(v, after, sum), &mut y[at..at + n]);
        }
    }
}

/// Where vectors of a row begin and how long they are: the last has what is left.
fn vectors_of(width: usize) -> impl Iterator<Item = (usize, usize)> {
    (0..width)
        .step_by(LANES)
        .map(move |at| (at, LANES.min(width - at)))
}

#[inline(always)]
fn put<V: Vectors>(v: V, x: V::F, to: &mut [f32]) {
    let x = v.array(x);
    match to.first_chunk_mut() {
        Some(to) => *to = x,
        None => to.copy_from_slice(&x[..to.len()]),
    }
}

/// `n` numbers from `at` on, and zeros.
#[inline(always)]
fn some<V: Vectors>(v: V, x: &[f32], at: usize, n: usize) -> V::F {
    let x = &x[at..];
    if let (LANES, Some(x)) = (n, x.first_chunk()) {
        return v.load(x);
    }
    let mut padded = [0.0; LANES];
    padded[..n].copy_from_slice(&x[..n]);
    v.load(&padded)
}

/// x + sin(alpha x)^2 inverse.
#[inline(always)]
fn apply<V: Vectors>(v: V, [alpha, inverse]: [V::F; 2], x: V::F) -> V::F {
    let angle = v.mul(alpha, x);
    let k = v.round(v.mul(angle, v.splat(std::f32::consts::FRAC_1_PI)));
    let mut r = angle;
    for part in PI {
        r = v.fnma(k, v.splat(part), r);
    }
    let square = v.mul(r, r);
    let mut p = v.splat(SQUARE[5]);
    for c in [SQUARE[4], SQUARE[3], SQUARE[2], SQUARE[1], SQUARE[0]] {
        p = v.fma(p, square, v.splat(c));
    }
    v.fma(inverse, v.mul(square, p), x)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::operators::vectors::Plain;

    #[test]
    fn snake_is_x_and_a_squared_sine() {
        let snake = Snake {
            alpha: &[1.7],
            inverse: &[1.0 / 1.7],
        };
        for i in -40_000..40_000 {
            let (x, mut y) = (i as f32 * 1e-3, [0.0]);
            activate(Plain, &[x], snake, &mut y);
            let exact = f64::from(x) + f64::from(1.7 * x).sin().powi(2) / 1.7;
            let found = f64::from(y[0]);
            assert!(
                (found - exact).abs() < 4e-6 * exact.abs().max(1.0),
                "{x}: {found}, {exact}"
            );
        }
    }

    #[test]
    fn a_tap_looks_its_dilation_ahead() {
        let x: Vec<f32> = (0..30).map(|i| i as f32).collect(); // 15 rows of 2
        let mut y = [0.0; 6]; // 7 taps, dilation 2: 3 rows
        let mut weight = [0.0; 2 * TAPS];
        weight[..4].copy_from_slice(&[1.0, 10.0, 2.0, 20.0]);
        weight[12..].copy_from_slice(&[100.0, 1000.0]);
        let conv = Convolution {
            weight: &weight,
            bias: &[0.5, 0.25],
            step: 4,
        };
        let as_is = Snake {
            alpha: &[0.0; 2],
            inverse: &[0.0; 2],
        };
        convolve(Plain, &x, conv, as_is, &mut y);
        let last = |row: f32| [100.0 * (2.0 * row + 24.0), 1000.0 * (2.0 * row + 25.0)];
        let expected = [(8.5, 110.25), (14.5, 170.25), (20.5, 230.25)];
        for (row, (a, b)) in expected.into_iter().enumerate() {
            let [c, d] = last(row as f32);
            assert_eq!(y[2 * row..2 * row + 2], [a + c, b + d]);
        }
    }
}
