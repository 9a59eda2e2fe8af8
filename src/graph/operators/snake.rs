//! The codec's activation and what surrounds it, each as one kernel. ONNX Runtime would run five
//! operators for the activation alone, and its sine takes a third of the codec's time.

use std::sync::Mutex;

use super::guard::{Call, Compute, Node, Operation};
use super::kernels::snake::{self, Convolution, TAPS, activate};
use super::shape::{Dim::*, Input, Sizes};
use super::vectors::Vectors;

/// Values that are worth another thread's waking.
const PIECE: usize = 16_384;

/// `y = x + sin(alpha x)^2 inverse`: x and y [..., channels], alpha and inverse [channels].
pub(super) struct Snake<V>(pub V);

impl<V: Vectors> Operation for Snake<V> {
    type Kernel = SnakeKernel<V>;

    const INPUTS: &'static [Input] = &[
        Input::f32("x", &[RowsOrNone("rows"), Size("channels")]),
        Input::f32("alpha", &[Size("channels")]),
        Input::f32("inverse", &[Size("channels")]),
    ];

    fn name(&self) -> &'static str {
        "Snake"
    }

    fn kernel(&self, _: &Node) -> ort::Result<SnakeKernel<V>> {
        Ok(SnakeKernel(self.0))
    }
}

pub(super) struct SnakeKernel<V>(V);

impl<V: Vectors> Compute for SnakeKernel<V> {
    fn compute(&mut self, call: &Call) -> ort::Result<()> {
        let (x, snake, channels) = (call.data::<f32>(0)?, snake(call, 1)?, call.size("channels"));
        let mut y = call.output(0, call.shape(0))?;
        by_rows(call, y.data()?, (channels, PIECE), |first, y| {
            activate(self.0, &x[first * channels..], snake, y);
        })
    }
}

/// A residual unit's first half: Snake, a depthwise convolution, Snake.
///
/// x [1, n + 6 dilation, channels], weight [7, channels], the five others [channels]
/// -> y [1, n, channels].
pub(super) struct SnakeConv<V>(pub V);

/// Positions between two taps, and channels, beyond what any codec has.
pub(super) const LARGEST: usize = 1 << 24;

impl<V: Vectors> Operation for SnakeConv<V> {
    type Kernel = SnakeConvKernel<V>;

    const INPUTS: &'static [Input] = &[
        Input::f32("x", &[Is(1), Size("positions"), Size("channels")]),
        Input::f32("alpha", &[Size("channels")]),
        Input::f32("inverse", &[Size("channels")]),
        Input::f32("weight", &[Is(TAPS), Size("channels")]),
        Input::f32("bias", &[Size("channels")]),
        Input::f32("alpha_after", &[Size("channels")]),
        Input::f32("inverse_after", &[Size("channels")]),
    ];

    fn name(&self) -> &'static str {
        "SnakeConv"
    }

    fn kernel(&self, node: &Node) -> ort::Result<SnakeConvKernel<V>> {
        let mut sizes = Sizes::default();
        if let Some(channels) = node.integer("group", 1..LARGEST)? {
            sizes.bind("channels", channels); // a channel's output depends on that channel alone
        }
        Ok(SnakeConvKernel {
            v: self.0,
            dilation: node.single("dilations", 1..LARGEST)?,
            sizes,
            activated: Vec::new(),
        })
    }
}

pub(super) struct SnakeConvKernel<V> {
    v: V,
    dilation: usize,
    sizes: Sizes,
    /// x after the first activation, kept so that no run allocates.
    activated: Vec<f32>,
}

impl<V: Vectors> Compute for SnakeConvKernel<V> {
    fn sizes(&self) -> Sizes {
        self.sizes
    }

    fn compute(&mut self, call: &Call) -> ort::Result<()> {
        let [positions, channels] = ["positions", "channels"].map(|n| call.size(n));
        let rows = positions
            .checked_sub((TAPS - 1) * self.dilation)
            .ok_or_else(|| {
                let dilation = self.dilation;
                call.error(&format!(
                    "{TAPS} taps with a dilation of {dilation} reach farther than x's {positions} positions"
                ))
            })?;
        let x: &[f32] = call.data(0)?;
        let (before, after) = (snake(call, 1)?, snake(call, 5)?);
        let conv = Convolution {
            weight: call.data(3)?,
            bias: call.data(4)?,
            step: self.dilation * channels,
        };
        let mut y = call.output(0, &[1, rows as i64, channels as i64])?;
        self.activated.resize(x.len(), 0.0);
        let v = self.v;
        by_rows(call, &mut self.activated, (channels, PIECE), |first, y| {
            activate(v, &x[first * channels..], before, y);
        })?;
        let x = &self.activated;
        by_rows(call, y.data()?, (channels, PIECE), |first, y| {
            snake::convolve(v, &x[first * channels..], conv, after, y);
        })
    }
}

/// The parameters in inputs `i` and `i + 1`.
pub(super) fn snake<'a>(call: &'a Call, i: usize) -> ort::Result<snake::Snake<'a>> {
    let (alpha, inverse) = (call.data(i)?, call.data(i + 1)?);
    Ok(snake::Snake { alpha, inverse })
}

/// Calls `fill(first row, rows)` for all rows of `y` [n, width], on another thread for each `piece`
/// values.
pub(super) fn by_rows(
    call: &Call,
    y: &mut [f32],
    (width, piece): (usize, usize),
    fill: impl Fn(usize, &mut [f32]) + Sync + Send,
) -> ort::Result<()> {
    let rows = piece.div_ceil(width);
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
