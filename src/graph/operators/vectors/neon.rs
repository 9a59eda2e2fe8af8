//! NEON: a vector is four registers. Products of bytes are `sdot` of signed ones, four at a time, or,
//! with i8mm, matrix products of two rows with two columns, eight at a time.
//!
//! Rust has these instructions as functions from 1.98 on, hence the assembly.

use std::arch::aarch64::*;
use std::arch::asm;
use std::borrow::Borrow;
use std::marker::PhantomData;

use super::{Bytes, Dot, LANES, Multiply, Vectors, Work, inlined};

type F = [float32x4_t; 4];
type I = [int32x4_t; 4];

/// How rows of bytes are multiplied.
pub(in super::super) trait Products: Copy + Send + Sync + 'static {
    type Full: Multiply<Neon<Self>>;
    type Small: Multiply<Neon<Self>, Four = [i8; 4]>;

    fn detect() -> bool;
}

#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Neon<P>(PhantomData<P>);

pub(in super::super) type Dotprod = Neon<Sdot>;
pub(in super::super) type I8mm = Neon<Mmla>;

/// An instruction that adds products of bytes to sums.
macro_rules! instruction {
    ($name:ident, $extension:literal, $text:literal) => {
        #[inline(always)]
        fn $name<P>(_: Neon<P>, mut sum: int32x4_t, a: int32x4_t, b: int32x4_t) -> int32x4_t {
            // SAFETY: the token proves that the instruction is there; it reads and writes these registers
            // alone.
            unsafe {
                asm!(
                    concat!(".arch_extension ", $extension), $text,
                    inout(vreg) sum, in(vreg) a, in(vreg) b,
                    options(pure, nomem, nostack, preserves_flags)
                );
            }
            sum
        }
    };
}
instruction!(sdot, "dotprod", "sdot {0:v}.4s, {1:v}.16b, {2:v}.16b");
instruction!(smmla, "i8mm", "smmla {0:v}.4s, {1:v}.16b, {2:v}.16b");
instruction!(usmmla, "i8mm", "usmmla {0:v}.4s, {1:v}.16b, {2:v}.16b");

/// An expression of each of the four quarters `i`.
macro_rules! each {
    ($i:ident, $of:expr) => {
        [
            {
                let $i = 0;
                $of
            },
            {
                let $i = 1;
                $of
            },
            {
                let $i = 2;
                $of
            },
            {
                let $i = 3;
                $of
            },
        ]
    };
}

// SAFETY: four registers have 16 floats or integers.
unsafe impl<P: Products> Vectors for Neon<P> {
    type F = F;
    type I = I;
    type Full = P::Full;
    type Small = P::Small;

    const PAIRS: usize = 2;
    const WIDE: bool = false;

    fn detect() -> Option<Neon<P>> {
        let found = std::arch::is_aarch64_feature_detected!("dotprod");
        (found && P::detect()).then_some(Neon(PhantomData))
    }

    #[inline(always)]
    fn vectorize<W: Work<Neon<P>, A>, A>(self, arguments: A) -> W::Output {
        W::run(self, arguments) // NEON itself is everywhere
    }

    #[inline(always)]
    fn add_products(self, to: I, a: [I; 2], b: [I; 2]) -> I {
        each!(
            i,
            sdot(self, sdot(self, to[i], a[0][i], b[0][i]), a[1][i], b[1][i])
        )
    }

    inlined! {
        fn splat(x: f32) -> F { [vdupq_n_f32(x); 4] }
        fn add(a: F, b: F) -> F { each!(i, vaddq_f32(a[i], b[i])) }
        fn sub(a: F, b: F) -> F { each!(i, vsubq_f32(a[i], b[i])) }
        fn mul(a: F, b: F) -> F { each!(i, vmulq_f32(a[i], b[i])) }
        fn div(a: F, b: F) -> F { each!(i, vdivq_f32(a[i], b[i])) }
        fn fma(a: F, b: F, c: F) -> F { each!(i, vfmaq_f32(c[i], a[i], b[i])) }
        fn fnma(a: F, b: F, c: F) -> F { each!(i, vfmsq_f32(c[i], a[i], b[i])) }
        fn max(a: F, b: F) -> F { each!(i, vbslq_f32(vcgtq_f32(a[i], b[i]), a[i], b[i])) }
        fn select(a: F, b: F, x: F, y: F) -> F {
            each!(i, vbslq_f32(vcgtq_f32(a[i], b[i]), x[i], y[i]))
        }
        fn round(x: F) -> F { each!(i, vrndnq_f32(x[i])) }
        fn floor(x: F) -> F { each!(i, vrndmq_f32(x[i])) }
        fn scale(p: F, n: F) -> F {
            each!(i, {
                let power = vaddq_s32(vcvtq_s32_f32(n[i]), vdupq_n_s32(127));
                let power = vreinterpretq_f32_s32(vshlq_n_s32::<23>(power));
                let none = vcltq_f32(n[i], vdupq_n_f32(-126.0));
                vbslq_f32(none, vdupq_n_f32(0.0), vmulq_f32(p[i], power))
            })
        }
        fn sum(x: F) -> f32 {
            let x = vaddq_f32(vaddq_f32(x[0], x[2]), vaddq_f32(x[1], x[3]));
            vpadds_f32(vadd_f32(vget_low_f32(x), vget_high_f32(x)))
        }
        fn splat_integer(x: i32) -> I { [vdupq_n_s32(x); 4] }
        fn one_integer(x: i32) -> I {
            let zero = vdupq_n_s32(0);
            [vsetq_lane_s32::<0>(x, zero), zero, zero, zero]
        }
        fn add_integers(a: I, b: I) -> I { each!(i, vaddq_s32(a[i], b[i])) }
        fn min_integers(a: I, b: I) -> I { each!(i, vminq_s32(a[i], b[i])) }
        fn max_integers(a: I, b: I) -> I { each!(i, vmaxq_s32(a[i], b[i])) }
        fn and(a: I, b: I) -> I { each!(i, vandq_s32(a[i], b[i])) }
        fn append(a: I, b: I) -> I { each!(i, vorrq_s32(vshlq_n_s32::<8>(a[i]), b[i])) }
        fn to_floats(x: I) -> F { each!(i, vcvtq_f32_s32(x[i])) }
        fn nearest(x: F) -> I { each!(i, vcvtnq_s32_f32(x[i])) }
        fn truncate(x: F) -> I { each!(i, vcvtq_s32_f32(x[i])) }
        fn low_bytes(x: I) -> [i8; LANES] {
            let words = |i: usize| vcombine_s16(vmovn_s32(x[i]), vmovn_s32(x[i + 1]));
            std::mem::transmute(vcombine_s8(vmovn_s16(words(0)), vmovn_s16(words(2))))
        }
        fn nibbles(x: I) -> [I; 2] {
            let x = each!(i, vreinterpretq_u8_s32(x[i]));
            [
                each!(i, vreinterpretq_s32_u8(vandq_u8(x[i], vdupq_n_u8(15)))),
                each!(i, vreinterpretq_s32_u8(vshrq_n_u8::<4>(x[i]))),
            ]
        }
        fn quads(rows: [I; 4]) -> [I; 4] {
            let [a, b, c, d] = rows;
            let ab = each!(i, vreinterpretq_s64_s32(vzip1q_s32(a[i], b[i])));
            let cd = each!(i, vreinterpretq_s64_s32(vzip1q_s32(c[i], d[i])));
            let high_ab = each!(i, vreinterpretq_s64_s32(vzip2q_s32(a[i], b[i])));
            let high_cd = each!(i, vreinterpretq_s64_s32(vzip2q_s32(c[i], d[i])));
            [
                each!(i, vreinterpretq_s32_s64(vzip1q_s64(ab[i], cd[i]))),
                each!(i, vreinterpretq_s32_s64(vzip2q_s64(ab[i], cd[i]))),
                each!(i, vreinterpretq_s32_s64(vzip1q_s64(high_ab[i], high_cd[i]))),
                each!(i, vreinterpretq_s32_s64(vzip2q_s64(high_ab[i], high_cd[i]))),
            ]
        }
        fn quarters(rows: [I; 4]) -> [I; 4] { each!(q, each!(i, rows[i][q])) }
    }
}

/// Products by `sdot` alone: unsigned bytes of x are made signed.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Sdot;

impl Products for Sdot {
    type Full = Bytes<true>;
    type Small = Bytes<false>;

    fn detect() -> bool {
        true
    }
}

impl Dot for Dotprod {
    const SHIFT: i32 = 128;

    #[inline(always)]
    fn dot<const UNSIGNED: bool>(self, sum: I, x: [i8; 4], w: I) -> I {
        let x = self.splat_integer(i32::from_ne_bytes(x.map(|x| x as u8)));
        each!(i, sdot(self, sum[i], w[i], x[i]))
    }
}

/// Products by `smmla` and `usmmla`.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Mmla;

impl Products for Mmla {
    type Full = Matrix<true>;
    type Small = Matrix<false>;

    fn detect() -> bool {
        std::arch::is_aarch64_feature_detected!("i8mm")
    }
}

/// Bytes of x, unsigned or signed, eight at a time.
pub(in super::super) struct Matrix<const UNSIGNED: bool>;

impl<const UNSIGNED: bool> Multiply<I8mm> for Matrix<UNSIGNED> {
    type Four = [i8; 4];
    /// Eight weights of two columns in each.
    type Weights = [int32x4_t; 8];
    /// Two rows and two columns in each.
    type Sums = [int32x4_t; 8];

    const FOURS: usize = 2;

    #[inline(always)]
    fn fours(v: I8mm, x: I) -> [[i8; 4]; LANES / 4] {
        super::fours(v.low_bytes(x))
    }

    #[inline(always)]
    fn weights<W: Borrow<[[i8; 4]; LANES]>>(v: I8mm, from: &[W]) -> [int32x4_t; 8] {
        let second = from.get(1).map(|second| v.bytes(second.borrow()));
        let (a, b) = (
            v.bytes(from[0].borrow()),
            second.unwrap_or(v.splat_integer(0)),
        );
        // SAFETY: NEON is everywhere.
        let [low, high] = unsafe {
            [
                each!(i, vzip1q_s32(a[i], b[i])),
                each!(i, vzip2q_s32(a[i], b[i])),
            ]
        };
        [
            low[0], high[0], low[1], high[1], low[2], high[2], low[3], high[3],
        ]
    }

    #[inline(always)]
    fn open(_: I8mm, [a, b]: [I; 2]) -> [int32x4_t; 8] {
        let [low, high] = paired(a, b);
        [
            low[0], high[0], low[1], high[1], low[2], high[2], low[3], high[3],
        ]
    }

    #[inline(always)]
    fn dot(
        v: I8mm,
        mut sums: [int32x4_t; 8],
        w: [int32x4_t; 8],
        x: [&[[i8; 4]]; 2],
    ) -> [int32x4_t; 8] {
        let four = |four: &[i8; 4]| u64::from(u32::from_ne_bytes(four.map(|x| x as u8)));
        let eight = |x: &[[i8; 4]]| four(&x[0]) | x.get(1).map_or(0, four) << 32;
        let eights = x.map(eight);
        // SAFETY: NEON is everywhere.
        let rows = unsafe {
            vreinterpretq_s32_u64(vcombine_u64(vcreate_u64(eights[0]), vcreate_u64(eights[1])))
        };
        for (sum, w) in sums.iter_mut().zip(w) {
            *sum = if UNSIGNED {
                usmmla(v, *sum, rows, w)
            } else {
                smmla(v, *sum, rows, w)
            };
        }
        sums
    }

    #[inline(always)]
    fn close(_: I8mm, _: [I; 2], sums: [int32x4_t; 8]) -> [I; 2] {
        let [a, b, c, d, e, f, g, h] = sums;
        paired([a, c, e, g], [b, d, f, h])
    }
}

/// The first halves of registers of a and b beside each other, and the second halves.
#[inline(always)]
fn paired(a: I, b: I) -> [I; 2] {
    // SAFETY: NEON is everywhere.
    unsafe {
        let a = each!(i, vreinterpretq_s64_s32(a[i]));
        let b = each!(i, vreinterpretq_s64_s32(b[i]));
        [
            each!(i, vreinterpretq_s32_s64(vzip1q_s64(a[i], b[i]))),
            each!(i, vreinterpretq_s32_s64(vzip2q_s64(a[i], b[i]))),
        ]
    }
}
