//! A codec's stages with 8-bit weights, each as one kernel. As an operator for each layer they would
//! be passes over signals that do not fit a core's cache, which take as long as the arithmetic.
//!
//! Signals are rows [1, n, channels]. What a stage remembers of the call before is an input, what the
//! next call is to remember an output.

use std::ops::Range;

use super::guard::{Call, Compute, Node, Operation};
use super::kernels::codec8::{Residual, Signal, Upsample, add_noise};
use super::kernels::snake::{Convolution, TAPS};
use super::linear8::{PACKED, Packed, SCALES};
use super::shape::{Dim::*, Input, Sizes};
use super::snake::{LARGEST, by_rows, snake};
use super::vectors::Vectors;

/// Values that are worth another thread's waking: each piece computes again some of what the piece
/// before it has.
const PIECE: usize = 65_536;

/// past [1, 6 dilation, channels], x [1, n, channels] behind it -> y [1, n, channels], zero outside
/// the clip, and present, the last rows of both.
///
/// Row k of y lies at the position frames_before rate + k - delay of a clip of clip_frames rate
/// positions.
pub(super) struct ResidualUnit8<V>(pub V);

impl<V: Vectors> Operation for ResidualUnit8<V> {
    type Kernel = ResidualUnit8Kernel<V>;

    const INPUTS: &'static [Input] = &[
        Input::f32("past", &[Is(1), Size("reach"), Times(4, "fours")]),
        Input::f32("x", &[Is(1), Size("positions"), Times(4, "fours")]),
        Input::i64("frames_before", &[Is(1)]),
        Input::i64("clip_frames", &[Is(1)]),
        Input::f32("alpha", &[Times(4, "fours")]),
        Input::f32("inverse", &[Times(4, "fours")]),
        Input::f32("weight", &[Is(TAPS), Times(4, "fours")]),
        Input::f32("bias", &[Times(4, "fours")]),
        Input::f32("alpha_after", &[Times(4, "fours")]),
        Input::f32("inverse_after", &[Times(4, "fours")]),
        PACKED,
        SCALES,
        Input::f32("bias_after", &[Times(4, "fours")]),
    ];
    const OUTPUTS: usize = 2;

    fn name(&self) -> &'static str {
        "ResidualUnit8"
    }

    fn kernel(&self, node: &Node) -> ort::Result<ResidualUnit8Kernel<V>> {
        let dilation = node.single("dilations", 1..LARGEST)?;
        let mut sizes = Sizes::default();
        sizes.bind("reach", (TAPS - 1) * dilation);
        Ok(ResidualUnit8Kernel {
            v: self.0,
            dilation,
            sizes,
            clip: Clip::of(node)?,
            packed: Packed::of(self.0, node, 10)?,
        })
    }
}

pub(super) struct ResidualUnit8Kernel<V> {
    v: V,
    dilation: usize,
    sizes: Sizes,
    clip: Clip,
    packed: Packed,
}

impl<V: Vectors> Compute for ResidualUnit8Kernel<V> {
    fn sizes(&self) -> Sizes {
        self.sizes
    }

    fn compute(&mut self, call: &Call) -> ort::Result<()> {
        let (channels, from) = (4 * call.size("fours"), signal(call)?);
        let unit = Residual {
            before: snake(call, 4)?,
            conv: Convolution {
                weight: call.data(6)?,
                bias: call.data(7)?,
                step: self.dilation * channels,
            },
            after: snake(call, 8)?,
            product: self.packed.weights(call)?,
        };
        let rows = (call.size("positions"), channels);
        self.clip.stage(call, from, rows, 1, |first, y| {
            unit.rows(self.v, from, first, y);
        })
    }
}

/// past [1, 1, channels], x [1, n, channels] behind it -> y [1, n stride, half as many channels], zero
/// outside the clip as above, and present, the last row of x. The columns of `packed` are those of two
/// strides.
pub(super) struct Upsample8<V>(pub V);

impl<V: Vectors> Operation for Upsample8<V> {
    type Kernel = Upsample8Kernel<V>;

    const INPUTS: &'static [Input] = &[
        Input::f32("past", &[Is(1), Is(1), Times(4, "fours")]),
        Input::f32("x", &[Is(1), Size("positions"), Times(4, "fours")]),
        Input::i64("frames_before", &[Is(1)]),
        Input::i64("clip_frames", &[Is(1)]),
        PACKED,
        SCALES,
        Input::f32("no_bias", &[Times(16, "tiles")]),
        Input::f32("bias", &[Size("channels")]),
    ];
    const OUTPUTS: usize = 2;

    fn name(&self) -> &'static str {
        "Upsample8"
    }

    fn kernel(&self, node: &Node) -> ort::Result<Upsample8Kernel<V>> {
        Ok(Upsample8Kernel {
            v: self.0,
            clip: Clip::of(node)?,
            packed: Packed::of(self.0, node, 4)?,
        })
    }
}

pub(super) struct Upsample8Kernel<V> {
    v: V,
    clip: Clip,
    packed: Packed,
}

impl<V: Vectors> Compute for Upsample8Kernel<V> {
    fn compute(&mut self, call: &Call) -> ort::Result<()> {
        let [positions, channels] = ["positions", "channels"].map(|name| call.size(name));
        let from = signal(call)?;
        let stage = Upsample {
            product: self.packed.weights(call)?,
            bias: call.data(7)?,
        };
        let columns = stage.product.columns();
        let stride = columns / 2 / channels;
        let rows = positions.checked_mul(stride);
        let rows = rows.filter(|_| columns.is_multiple_of(2 * channels));
        let rows = rows.ok_or_else(|| {
            call.error(&format!(
                "{columns} columns of packed are no two strides of {channels} channels"
            ))
        })?;
        self.clip
            .stage(call, from, (rows, channels), stride, |first, y| {
                stage.rows(self.v, from, first / stride, y);
            })
    }
}

/// x [1, n, channels] and its product with the weights times draws [1, 1, n] -> y, as x.
pub(super) struct Noise8<V>(pub V);

impl<V: Vectors> Operation for Noise8<V> {
    type Kernel = Noise8Kernel<V>;

    const INPUTS: &'static [Input] = &[
        Input::f32("x", &[Is(1), Size("positions"), Times(4, "fours")]),
        Input::f32("draws", &[Is(1), Is(1), Size("positions")]),
        PACKED,
        SCALES,
        Input::f32("no_bias", &[Times(4, "fours")]),
    ];

    fn name(&self) -> &'static str {
        "Noise8"
    }

    fn kernel(&self, node: &Node) -> ort::Result<Noise8Kernel<V>> {
        Ok(Noise8Kernel {
            v: self.0,
            packed: Packed::of(self.0, node, 2)?,
        })
    }
}

pub(super) struct Noise8Kernel<V> {
    v: V,
    packed: Packed,
}

impl<V: Vectors> Compute for Noise8Kernel<V> {
    fn compute(&mut self, call: &Call) -> ort::Result<()> {
        let (x, draws): (&[f32], &[f32]) = (call.data(0)?, call.data(1)?);
        let (weights, width) = (self.packed.weights(call)?, 4 * call.size("fours"));
        let mut y = call.output(0, call.shape(0))?;
        by_rows(call, y.data()?, (width, PIECE), |first, y| {
            let x = &x[first * width..][..y.len()];
            add_noise(self.v, &weights, x, &draws[first..], y);
        })
    }
}

/// The first two inputs.
fn signal<'a>(call: &'a Call) -> ort::Result<Signal<'a>> {
    let (past, x) = (call.data(0)?, call.data(1)?);
    Ok(Signal { past, x })
}

/// Where rows lie in the clip: by the inputs frames_before and clip_frames, the third and the fourth.
struct Clip {
    rate: i128,
    delay: i128,
}

impl Clip {
    fn of(node: &Node) -> ort::Result<Clip> {
        let number = |name, least| node.required(name, least..LARGEST);
        Ok(Clip {
            rate: number("rate", 1)? as i128,
            delay: number("delay", 0)? as i128,
        })
    }

    /// Both outputs of a stage: y [1, rows, channels], zero outside the clip, of which `fill(first row,
    /// rows)` makes a multiple of `step` rows at a time, and what is to be remembered of the signal.
    fn stage(
        &self,
        call: &Call,
        from: Signal,
        (rows, channels): (usize, usize),
        step: usize,
        fill: impl Fn(usize, &mut [f32]) + Sync + Send,
    ) -> ort::Result<()> {
        let inside = self.inside(call, rows)?;
        let mut y = call.output(0, &[1, rows as i64, channels as i64])?;
        by_rows(call, y.data()?, (step * channels, PIECE), |first, y| {
            let first = first * step;
            fill(first, y);
            for (i, y) in y.chunks_exact_mut(channels).enumerate() {
                if !inside.contains(&(first + i)) {
                    y.fill(0.0);
                }
            }
        })?;
        from.keep(call.output(1, call.shape(0))?.data()?);
        Ok(())
    }

    /// Which of `n` rows are inside.
    fn inside(&self, call: &Call, n: usize) -> ort::Result<Range<usize>> {
        let [before, clip] = [call.data::<i64>(2)?[0], call.data::<i64>(3)?[0]].map(i128::from);
        let first = before * self.rate - self.delay;
        let row = |position: i128| (position - first).clamp(0, n as i128) as usize;
        Ok(row(0)..row(clip * self.rate))
    }
}
