//! The codec's activation and what surrounds it, each as one kernel. ONNX Runtime would run five
//! operators for the activation alone, and its sine takes a third of the codec's time.

use std::sync::Mutex;

use super::guard::{Call, Compute, Node, Operation};
use super::shape::{Dim::*, Input, Sizes};
use multiversion::multiversion;

/// Values that are worth another thread's waking.
const PIECE: usize = 16_384;

/// `y = x + sin(alpha x)^2 inverse`: x and y [..., channels], alpha and inverse [channels].
pub(super) struct Snake;

impl Operation for Snake {
    type Kernel = SnakeKernel;

    const INPUTS: &'static [Input] = &[
        Input::f32("x", &[RowsOrNone("rows"), Size("channels")]),
        Input::f32("alpha", &[Size("channels")]),
        Input::f32("inverse", &[Size("channels")]),
    ];

    fn name(&self) -> &'static str {
        "Snake"
    }

    fn kernel(&self, _: &Node) -> ort::Result<SnakeKernel> {
        Ok(SnakeKernel)
    }
}

pub(super) struct SnakeKernel;

impl Compute for SnakeKernel {
    fn compute(&mut self, call: &Call) -> ort::Result<()> {
        let [x, alpha, inverse] = [call.data(0)?, call.data(1)?, call.data(2)?];
        let mut y = call.output(0, call.shape(0))?;
        by_rows(call, y.data()?, alpha.len(), |first, y| {
            activate(&x[first * alpha.len()..], alpha, inverse, y);
        })
    }
}

/// A residual unit's first half: Snake, a depthwise convolution, Snake.
///
/// x [1, n + (taps - 1) dilation, channels], weight [taps, channels], the five others [channels]
/// -> y [1, n, channels].
pub(super) struct SnakeConv;

/// Positions between two taps, and channels, beyond what any codec has.
const LARGEST: usize = 1 << 24;

impl Operation for SnakeConv {
    type Kernel = SnakeConvKernel;

    const INPUTS: &'static [Input] = &[
        Input::f32("x", &[Is(1), Size("positions"), Size("channels")]),
        Input::f32("alpha", &[Size("channels")]),
        Input::f32("inverse", &[Size("channels")]),
        Input::f32("weight", &[Size("taps"), Size("channels")]),
        Input::f32("bias", &[Size("channels")]),
        Input::f32("alpha_after", &[Size("channels")]),
        Input::f32("inverse_after", &[Size("channels")]),
    ];

    fn name(&self) -> &'static str {
        "SnakeConv"
    }

    fn kernel(&self, node: &Node) -> ort::Result<SnakeConvKernel> {
        let mut sizes = Sizes::default();
        if let Some(channels) = node.integer("group", 1..LARGEST)? {
            sizes.bind("channels", channels); // a channel's output depends on that channel alone
        }
        Ok(SnakeConvKernel {
            dilation: node.single("dilations", 1..LARGEST)?,
            sizes,
            activated: Vec::new(),
        })
    }
}

pub(super) struct SnakeConvKernel {
    dilation: usize,
    sizes: Sizes,
    /// x after the first activation, kept so that no run allocates.
    activated: Vec<f32>,
}

impl Compute for SnakeConvKernel {
    fn sizes(&self) -> Sizes {
        self.sizes
    }

    fn compute(&mut self, call: &Call) -> ort::Result<()> {
        let [positions, taps, channels] = ["positions", "taps", "channels"].map(|n| call.size(n));
        let reach = (taps - 1).checked_mul(self.dilation);
        let rows = reach
            .and_then(|reach| positions.checked_sub(reach))
            .ok_or_else(|| {
                let dilation = self.dilation;
                call.error(&format!(
                    "{taps} taps with a dilation of {dilation} reach farther than x's {positions} positions"
                ))
            })?;
        let [x, alpha, inverse] = [call.data(0)?, call.data(1)?, call.data(2)?];
        let [weight, bias] = [call.data(3)?, call.data(4)?];
        let [alpha_after, inverse_after] = [call.data(5)?, call.data(6)?];
        let mut y = call.output(0, &[1, rows as i64, channels as i64])?;
        self.activated.resize(x.len(), 0.0);
        by_rows(call, &mut self.activated, channels, |first, y| {
            activate(&x[first * channels..], alpha, inverse, y);
        })?;
        let (x, step) = (&self.activated, self.dilation * channels);
        by_rows(call, y.data()?, channels, |first, y| {
            convolve(&x[first * channels..], step, weight, bias, y);
            activate_in_place(y, alpha_after, inverse_after);
        })
    }
}

/// Calls `fill(first row, rows)` for all rows of `y` [n, width], by as many threads as it is worth.
fn by_rows(
    call: &Call,
    y: &mut [f32],
    width: usize,
    fill: impl Fn(usize, &mut [f32]) + Sync + Send,
) -> ort::Result<()> {
    let rows = PIECE.div_ceil(width);
    let pieces: Vec<_> = y.chunks_mut(rows * width).map(Mutex::new).collect();
    let one = |i: usize| {
        // Only a panic poisons a lock, and then the run fails.
        if let Ok(mut piece) = pieces[i].lock() {
            fill(i * rows, &mut piece);
        }
    };
    if pieces.len() < 2 {
        (0..pieces.len()).for_each(one);
        return Ok(());
    }
    call.par_for(pieces.len(), 0, one)
}

/// π in parts of few bits, so that k π is subtracted without rounding for small whole k.
const PI: [f32; 3] = [3.140625, 9.675_026e-4, 1.509_958e-7];
/// sin(r)² = v P(v) for v = r² up to (π/2)²: a least-squares fit at Chebyshev's points, exact to
/// 1e-8.
const P: [f32; 6] = [
    1.0,
    -0.333_333_07,
    0.044_443_183,
    -0.003_172_404,
    1.393_519_4e-4,
    -3.631_499e-6,
];

#[inline(always)]
fn snake(x: f32, alpha: f32, inverse: f32) -> f32 {
    let angle = alpha * x;
    let k = (angle * std::f32::consts::FRAC_1_PI).round_ties_even();
    let r = ((angle - k * PI[0]) - k * PI[1]) - k * PI[2];
    let v = r * r;
    let p = P.iter().rev().fold(0.0, |sum, c| sum * v + c);
    x + inverse * (v * p)
}

/// Snake of the first rows of x, as many as y has.
#[multiversion(targets(
    "x86_64+avx512f+avx512vl+avx512dq+avx512bw+avx2+fma",
    "x86_64+avx2+fma",
    "x86_64+sse4.1",
    "aarch64+neon",
))]
fn activate(x: &[f32], alpha: &[f32], inverse: &[f32], y: &mut [f32]) {
    let width = alpha.len();
    for (x, y) in x.chunks_exact(width).zip(y.chunks_exact_mut(width)) {
        for (((x, y), alpha), inverse) in x.iter().zip(y).zip(alpha).zip(inverse) {
            *y = snake(*x, *alpha, *inverse);
        }
    }
}

#[multiversion(targets(
    "x86_64+avx512f+avx512vl+avx512dq+avx512bw+avx2+fma",
    "x86_64+avx2+fma",
    "x86_64+sse4.1",
    "aarch64+neon",
))]
fn activate_in_place(y: &mut [f32], alpha: &[f32], inverse: &[f32]) {
    for y in y.chunks_exact_mut(alpha.len()) {
        for ((y, alpha), inverse) in y.iter_mut().zip(alpha).zip(inverse) {
            *y = snake(*y, *alpha, *inverse);
        }
    }
}

/// Row i of y is the bias and tap k's weights times what lies k `step` behind the i-th row of x.
#[multiversion(targets(
    "x86_64+avx512f+avx512vl+avx512dq+avx512bw+avx2+fma",
    "x86_64+avx2+fma",
    "x86_64+sse4.1",
    "aarch64+neon",
))]
fn convolve(x: &[f32], step: usize, weight: &[f32], bias: &[f32], y: &mut [f32]) {
    let width = bias.len();
    for (i, y) in y.chunks_exact_mut(width).enumerate() {
        y.copy_from_slice(bias);
        for (k, weight) in weight.chunks_exact(width).enumerate() {
            let x = &x[i * width + k * step..][..width];
            for ((y, x), weight) in y.iter_mut().zip(x).zip(weight) {
                *y += weight * x;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn snake_is_x_and_a_squared_sine() {
        for i in -40_000..40_000 {
            let x = i as f32 * 1e-3;
            let exact = f64::from(x) + f64::from(1.7 * x).sin().powi(2) / 1.7;
            let found = f64::from(snake(x, 1.7, 1.0 / 1.7));
            assert!(
                (found - exact).abs() < 4e-6 * exact.abs().max(1.0),
                "{x}: {found}, {exact}"
            );
        }
    }

    #[test]
    fn a_tap_looks_its_dilation_ahead() {
        let x: Vec<f32> = (0..10).map(|i| i as f32).collect(); // 5 rows of 2
        let mut y = [0.0; 6]; // taps 2, dilation 2: 3 rows
        convolve(&x, 4, &[1.0, 10.0, 2.0, 20.0], &[0.5, 0.25], &mut y);
        assert_eq!(y, [8.5, 110.25, 14.5, 170.25, 20.5, 230.25]);
    }
}
