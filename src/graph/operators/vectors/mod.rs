//! Vectors of 16 numbers, as each kind of processor has them; the kernels are written once over them.
//!
//! Every back end does the same float operations in the same order, products are fused with the sums
//! that they go into, and products of bytes are summed exactly. So all of them give the same bits.
//! `plain` is the reference, in Rust alone.
//!
//! Unsafe code stands here, in `columns` and in `cache`. The instructions of a back end are not on
//! every processor. A token of it exists only where they were found ([`Vectors::detect`]), and what
//! takes a token may use them.
#![allow(unsafe_code)]

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
mod avx512;
#[cfg(target_arch = "aarch64")]
mod neon;
mod plain;

use std::borrow::Borrow;

#[cfg(all(test, target_arch = "x86_64"))]
pub(super) use self::avx2::AvxVnniEvex;
#[cfg(target_arch = "x86_64")]
pub(super) use self::avx2::{Avx2, AvxVnni};
#[cfg(target_arch = "x86_64")]
pub(super) use self::avx512::Avx512;
#[cfg(target_arch = "aarch64")]
pub(super) use self::neon::{Dotprod, I8mm};
pub(super) use self::plain::Plain;

/// Numbers of a vector.
pub(super) const LANES: usize = 16;

/// Four bytes in a row of each of 16 columns, one vector.
#[derive(Clone, Copy, Default)]
#[repr(C, align(64))]
pub(super) struct Fours(pub [[i8; 4]; LANES]);

impl Borrow<[[i8; 4]; LANES]> for Fours {
    fn borrow(&self) -> &[[i8; 4]; LANES] {
        &self.0
    }
}

/// The operations on vectors, by lane where nothing else is said. A value is also the proof that this
/// processor has the instructions.
///
/// # Safety
///
/// `F` is laid out as `[f32; 16]`, `I` as `[i32; 16]`, and any bits are a value of either.
pub(super) unsafe trait Vectors: Copy + Send + Sync + 'static {
    /// 16 floats.
    type F: Copy;
    /// 16 integers of 32 bits, or 64 bytes.
    type I: Copy;
    /// Unsigned bytes of x and signed weights.
    type Full: Multiply<Self>;
    /// Signed bytes of x and weights from 0 to 15.
    type Small: Multiply<Self, Four = [i8; 4]>;

    /// Pairs of rows whose sums fit the registers beside one vector of weights.
    const PAIRS: usize;
    /// Whether sums of twice as many columns fit.
    const WIDE: bool;

    /// A token, where this processor has all the instructions.
    fn detect() -> Option<Self>;
    /// Does the work compiled with these instructions; [`vectorized`] calls it.
    fn vectorize<W: Work<Self, A>, A>(self, arguments: A) -> W::Output;

    #[inline(always)]
    fn load(self, x: &[f32; LANES]) -> Self::F {
        // SAFETY: `F` has the layout of the array.
        unsafe { std::ptr::from_ref(x).cast::<Self::F>().read_unaligned() }
    }
    #[inline(always)]
    fn array(self, x: Self::F) -> [f32; LANES] {
        // SAFETY: as above.
        unsafe { std::mem::transmute_copy(&x) }
    }
    #[inline(always)]
    fn integers(self, x: &[i32; LANES]) -> Self::I {
        // SAFETY: `I` has the layout of the array.
        unsafe { std::ptr::from_ref(x).cast::<Self::I>().read_unaligned() }
    }
    #[inline(always)]
    fn bytes(self, x: &[[i8; 4]; LANES]) -> Self::I {
        // SAFETY: as above; the arrays have as many bytes.
        unsafe { std::ptr::from_ref(x).cast::<Self::I>().read_unaligned() }
    }
    #[inline(always)]
    fn packed(self, x: &[u8; 4 * LANES]) -> Self::I {
        // SAFETY: as above.
        unsafe { std::ptr::from_ref(x).cast::<Self::I>().read_unaligned() }
    }
    #[inline(always)]
    fn integer_array(self, x: Self::I) -> [i32; LANES] {
        // SAFETY: as above.
        unsafe { std::mem::transmute_copy(&x) }
    }
    #[inline(always)]
    fn byte_array(self, x: Self::I) -> [[i8; 4]; LANES] {
        // SAFETY: as above.
        unsafe { std::mem::transmute_copy(&x) }
    }
    /// The bits of floats.
    #[inline(always)]
    fn bits(self, x: Self::F) -> Self::I {
        // SAFETY: both are 64 bytes, and any bits are a value.
        unsafe { std::mem::transmute_copy(&x) }
    }
    #[inline(always)]
    fn of_bits(self, x: Self::I) -> Self::F {
        // SAFETY: as above.
        unsafe { std::mem::transmute_copy(&x) }
    }

    fn splat(self, x: f32) -> Self::F;
    fn add(self, a: Self::F, b: Self::F) -> Self::F;
    fn sub(self, a: Self::F, b: Self::F) -> Self::F;
    fn mul(self, a: Self::F, b: Self::F) -> Self::F;
    fn div(self, a: Self::F, b: Self::F) -> Self::F;
    /// a b + c, rounded once.
    fn fma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// c - a b, rounded once.
    fn fnma(self, a: Self::F, b: Self::F, c: Self::F) -> Self::F;
    /// a where it is greater, else b.
    fn max(self, a: Self::F, b: Self::F) -> Self::F;
    /// x where a > b, else y.
    fn select(self, a: Self::F, b: Self::F, x: Self::F, y: Self::F) -> Self::F;
    /// The nearest whole number, of two the even one.
    fn round(self, x: Self::F) -> Self::F;
    /// The next whole number below.
    fn floor(self, x: Self::F) -> Self::F;
    /// p 2^n for whole n up to 127; 0 where n is below -126.
    fn scale(self, p: Self::F, n: Self::F) -> Self::F;
    /// The sum of all lanes: of halves, quarters and so on.
    fn sum(self, x: Self::F) -> f32;

    fn splat_integer(self, x: i32) -> Self::I;
    /// x and 15 zeros.
    fn one_integer(self, x: i32) -> Self::I;
    fn add_integers(self, a: Self::I, b: Self::I) -> Self::I;
    fn min_integers(self, a: Self::I, b: Self::I) -> Self::I;
    fn max_integers(self, a: Self::I, b: Self::I) -> Self::I;
    fn and(self, a: Self::I, b: Self::I) -> Self::I;
    /// a 256 + b, for b of one byte.
    fn append(self, a: Self::I, b: Self::I) -> Self::I;
    fn to_floats(self, x: Self::I) -> Self::F;
    /// The nearest whole numbers; some integer where they are beyond 32 bits or x is no number.
    fn nearest(self, x: Self::F) -> Self::I;
    /// The whole parts, with the same exception.
    fn truncate(self, x: Self::F) -> Self::I;
    /// The lowest byte of each lane.
    fn low_bytes(self, x: Self::I) -> [i8; LANES];
    /// The low and the high half of each byte.
    fn nibbles(self, x: Self::I) -> [Self::I; 2];
    /// `to` and, by lane, the products of four bytes of `a` (0 to 15) and of `b`, of two vectors each.
    fn add_products(self, to: Self::I, a: [Self::I; 2], b: [Self::I; 2]) -> Self::I;
    /// Rows and columns exchanged in each quarter of four rows.
    fn quads(self, rows: [Self::I; 4]) -> [Self::I; 4];
    /// Quarters exchanged: the first result has the first quarter of each row.
    fn quarters(self, rows: [Self::I; 4]) -> [Self::I; 4];
}

/// A function as a type. What it calls is compiled with the instructions of a back end only where it
/// is inlined, as closures need not be: so `run` and all that it calls with a token always are.
pub(crate) trait Work<V, A> {
    type Output;

    fn run(v: V, arguments: A) -> Self::Output;
}

/// Calls a function that is always inlined, compiled with the instructions of a token, its first
/// argument.
macro_rules! vectorized {
    ($v:ident, $f:ident($($x:ident: $of:ty),*) -> $to:ty) => {{
        struct Inside;
        impl<V: Vectors> $crate::graph::operators::vectors::Work<V, ($($of,)*)> for Inside {
            type Output = $to;

            #[inline(always)]
            fn run(v: V, ($($x,)*): ($($of,)*)) -> $to {
                $f(v, $($x),*)
            }
        }
        $v.vectorize::<Inside, _>(($($x,)*))
    }};
}
pub(super) use vectorized;

/// Products of bytes, summed exactly: two rows of x and 16 columns of weights at a time.
pub(super) trait Multiply<V: Vectors>: 'static {
    /// Four bytes of a row of x, stored as the instructions take them.
    type Four: Copy + Default + Send + Sync;
    /// Weights of `FOURS` vectors in registers.
    type Weights: Copy;
    /// Sums of two rows.
    type Sums: Copy;

    /// Vectors of weights that are taken at once.
    const FOURS: usize = 1;
    /// Vectors of weights whose products may be summed between `open` and `close`.
    const RUN: usize = usize::MAX;
    /// What is taken off every number of x; its product with the weights' sums is added to the result
    /// by the caller.
    const SHIFT: i32 = 0;

    /// 16 numbers of x, as they are stored.
    fn fours(v: V, x: V::I) -> [Self::Four; LANES / 4];
    /// Up to `FOURS` vectors of weights; the rest are zero.
    fn weights<W: Borrow<[[i8; 4]; LANES]>>(v: V, from: &[W]) -> Self::Weights;
    fn open(v: V, sums: [V::I; 2]) -> Self::Sums;
    /// Adds the products of the weights and as many fours of two rows.
    fn dot(v: V, sums: Self::Sums, w: Self::Weights, x: [&[Self::Four]; 2]) -> Self::Sums;
    /// `sums` are what `open` got.
    fn close(v: V, sums: [V::I; 2], found: Self::Sums) -> [V::I; 2];
}

/// Products with an instruction that sums four of them for each lane.
pub(super) trait Dot: Vectors {
    /// As [`Multiply::SHIFT`], of unsigned bytes.
    const SHIFT: i32 = 0;

    /// Four bytes of x, unsigned (less `SHIFT`) or signed, times those of each lane of w: signed, or
    /// from 0 to 15.
    fn dot<const UNSIGNED: bool>(self, sum: Self::I, x: [i8; 4], w: Self::I) -> Self::I;
}

/// Bytes of x, unsigned or signed, where there is such an instruction.
pub(super) struct Bytes<const UNSIGNED: bool>;

impl<V: Dot, const UNSIGNED: bool> Multiply<V> for Bytes<UNSIGNED> {
    type Four = [i8; 4];
    type Weights = V::I;
    type Sums = [V::I; 2];

    const SHIFT: i32 = if UNSIGNED { V::SHIFT } else { 0 };

    #[inline(always)]
    fn fours(v: V, x: V::I) -> [[i8; 4]; LANES / 4] {
        fours(v.low_bytes(v.add_integers(x, v.splat_integer(-<Self as Multiply<V>>::SHIFT))))
    }

    #[inline(always)]
    fn weights<W: Borrow<[[i8; 4]; LANES]>>(v: V, from: &[W]) -> V::I {
        v.bytes(from[0].borrow())
    }

    #[inline(always)]
    fn open(_: V, sums: [V::I; 2]) -> [V::I; 2] {
        sums
    }

    #[inline(always)]
    fn dot(v: V, [a, b]: [V::I; 2], w: V::I, [x, y]: [&[[i8; 4]]; 2]) -> [V::I; 2] {
        [v.dot::<UNSIGNED>(a, x[0], w), v.dot::<UNSIGNED>(b, y[0], w)]
    }

    #[inline(always)]
    fn close(_: V, _: [V::I; 2], found: [V::I; 2]) -> [V::I; 2] {
        found
    }
}

#[inline(always)]
fn fours(bytes: [i8; LANES]) -> [[i8; 4]; LANES / 4] {
    // SAFETY: arrays of as many bytes.
    unsafe { std::mem::transmute(bytes) }
}

/// Methods of one expression each, inlined wherever they are called, so that they are compiled with
/// the instructions that `vectorize` enables.
macro_rules! inlined {
    ($(fn $name:ident($($x:ident: $of:ty),*) -> $to:ty { $($body:tt)* })*) => { $(
        #[inline(always)]
        fn $name(self, $($x: $of),*) -> $to {
            // SAFETY: `self` proves that the instructions are there, and they touch no memory but
            // arrays of the size that they read or write.
            #[allow(unused_unsafe)]
            unsafe { $($body)* }
        }
    )* };
}
use inlined;
