//! A codec's stages with 8-bit weights, in blocks of rows that stay in a core's cache.

use super::super::vectors::Vectors;
use super::products8::{self, Activation, ROWS, Weights};
use super::room::{keep_room, take_room};
use super::snake::{Convolution, Snake, activate, convolve};

/// Numbers of a block, which is in a core's first cache beside the weights of a few columns.
const BLOCK: usize = 4_096;

/// Rows in a block.
fn rows_of(width: usize) -> usize {
    (BLOCK / width).next_multiple_of(ROWS).max(ROWS)
}

/// Rows of a signal [n, channels] behind the last ones of the call before.
#[derive(Clone, Copy)]
pub(in super::super) struct Signal<'a> {
    pub past: &'a [f32],
    pub x: &'a [f32],
}

impl<'a> Signal<'a> {
    /// `n` numbers from `at` on, where past and x follow each other: what past has of them, and x.
    fn some(self, at: usize, n: usize) -> [&'a [f32]; 2] {
        let reach = self.past.len();
        let in_past = |at: usize| at.min(reach);
        let in_x = |at: usize| at.max(reach) - reach;
        [
            &self.past[in_past(at)..in_past(at + n)],
            &self.x[in_x(at)..in_x(at + n)],
        ]
    }

    /// Calls `each` with both parts of that and as many numbers of `to`.
    pub fn zip(self, at: usize, to: &mut [f32], each: impl Fn(&[f32], &mut [f32])) {
        let [past, x] = self.some(at, to.len());
        let (to_past, to_x) = to.split_at_mut(past.len());
        each(past, to_past);
        each(x, to_x);
    }

    /// The rows that the next call has to remember, as many as this one does.
    pub fn keep(self, to: &mut [f32]) {
        self.zip(self.x.len(), to, |from, to| to.copy_from_slice(from));
    }
}

/// Two buffers that a thread keeps between pieces.
#[derive(Default)]
struct Room(Vec<f32>, Vec<f32>);

/// x + W snake(conv(snake(x))) + b.
pub(in super::super) struct Residual<'a> {
    pub before: Snake<'a>,
    pub conv: Convolution<'a>,
    pub after: Snake<'a>,
    pub product: Weights<'a>,
}

impl Residual<'_> {
    /// Rows of y from `first` on. A row is that of the signal half the convolution's reach behind it,
    /// and what the unit makes of all that the convolution reaches.
    pub fn rows<V: Vectors>(&self, v: V, from: Signal, first: usize, y: &mut [f32]) {
        let width = self.conv.bias.len();
        let (reach, at) = (from.past.len(), first * width);
        let mut room = take_room::<Room>();
        let Room(activated, convolved) = &mut *room;
        activated.resize(reach + y.len(), 0.0);
        from.zip(at, activated, |x, y| activate(v, x, self.before, y));
        let block = rows_of(width) * width;
        for (i, y) in y.chunks_mut(block).enumerate() {
            let seen = &activated[i * block..];
            convolved.resize(y.len(), 0.0);
            convolve(v, seen, self.conv, self.after, convolved);
            products8::multiply(v, &self.product, convolved, Activation::None, y);
            from.zip(at + i * block + reach / 2, y, |x, y| {
                y.iter_mut().zip(x).for_each(|(y, x)| *y += x);
            });
        }
        keep_room(room);
    }
}

/// A transposed convolution: the first half of a row's product meets the second half of the row's
/// before it.
pub(in super::super) struct Upsample<'a> {
    /// Of as many columns as two rows of y have numbers.
    pub product: Weights<'a>,
    pub bias: &'a [f32],
}

impl Upsample<'_> {
    /// Rows of y from `first` on, each of one row of x.
    pub fn rows<V: Vectors>(&self, v: V, from: Signal, first: usize, y: &mut [f32]) {
        let (width, columns) = (from.past.len(), self.product.columns());
        let block = rows_of(width);
        let mut room = take_room::<Room>();
        let Room(rows, products) = &mut *room;
        for (i, y) in y.chunks_mut(block * columns / 2).enumerate() {
            let n = y.len() / (columns / 2) + 1;
            rows.resize(n * width, 0.0);
            products.resize(n * columns, 0.0);
            from.zip((first + i * block) * width, rows, |from, to| {
                to.copy_from_slice(from);
            });
            products8::multiply(v, &self.product, rows, Activation::None, products);
            let (before, behind) = (products.chunks(columns), products.chunks(columns).skip(1));
            for ((before, behind), y) in before.zip(behind).zip(y.chunks_mut(columns / 2)) {
                let sums = behind.iter().zip(&before[columns / 2..]);
                for (y, (a, b)) in y.iter_mut().zip(sums) {
                    *y = a + b;
                }
                for y in y.chunks_exact_mut(self.bias.len()) {
                    y.iter_mut().zip(self.bias).for_each(|(y, b)| *y += b);
                }
            }
        }
        keep_room(room);
    }
}

/// Rows of y: of x, and their product times a draw for each row.
pub(in super::super) fn add_noise<V: Vectors>(
    v: V,
    product: &Weights,
    x: &[f32],
    draws: &[f32],
    y: &mut [f32],
) {
    let width = product.columns();
    let block = rows_of(width);
    let blocks = x.chunks(block * width).zip(y.chunks_mut(block * width));
    for ((x, y), draws) in blocks.zip(draws.chunks(block)) {
        products8::multiply(v, product, x, Activation::None, y);
        let rows = x.chunks_exact(width).zip(y.chunks_exact_mut(width));
        for ((x, y), draw) in rows.zip(draws) {
            y.iter_mut().zip(x).for_each(|(y, x)| *y = x + draw * *y);
        }
    }
}
