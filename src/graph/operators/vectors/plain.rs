//! Vectors in Rust alone: the reference, which runs everywhere and which a sanitizer can follow.

use std::array::from_fn;

use super::{Bytes, Dot, LANES, Vectors, Work, inlined};

#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Plain;

type F = [f32; LANES];
type I = [i32; LANES];

#[inline(always)]
fn each<A: Copy, B: Copy, C>(a: [A; LANES], b: [B; LANES], f: impl Fn(A, B) -> C) -> [C; LANES] {
    from_fn(|i| f(a[i], b[i]))
}

#[inline(always)]
fn bytes(x: i32) -> [i32; 4] {
    x.to_ne_bytes().map(|x| i32::from(x as i8))
}

#[inline(always)]
fn products(a: [i32; 4], b: [i32; 4]) -> i32 {
    (0..4).map(|i| a[i] * b[i]).sum()
}

// SAFETY: the types are the arrays.
unsafe impl Vectors for Plain {
    type F = F;
    type I = I;
    type Full = Bytes<true>;
    type Small = Bytes<false>;

    const PAIRS: usize = 1;
    const WIDE: bool = false;

    fn detect() -> Option<Plain> {
        Some(Plain)
    }

    #[inline(always)]
    fn vectorize<W: Work<Plain, A>, A>(self, arguments: A) -> W::Output {
        W::run(self, arguments)
    }

    inlined! {
        fn splat(x: f32) -> F { [x; LANES] }
        fn add(a: F, b: F) -> F { each(a, b, |a, b| a + b) }
        fn sub(a: F, b: F) -> F { each(a, b, |a, b| a - b) }
        fn mul(a: F, b: F) -> F { each(a, b, |a, b| a * b) }
        fn div(a: F, b: F) -> F { each(a, b, |a, b| a / b) }
        fn fma(a: F, b: F, c: F) -> F { from_fn(|i| a[i].mul_add(b[i], c[i])) }
        fn fnma(a: F, b: F, c: F) -> F { from_fn(|i| (-a[i]).mul_add(b[i], c[i])) }
        fn max(a: F, b: F) -> F { each(a, b, |a, b| if a > b { a } else { b }) }
        fn select(a: F, b: F, x: F, y: F) -> F {
            from_fn(|i| if a[i] > b[i] { x[i] } else { y[i] })
        }
        fn round(x: F) -> F { x.map(f32::round_ties_even) }
        fn floor(x: F) -> F { x.map(f32::floor) }
        fn scale(p: F, n: F) -> F {
            let power = |n: f32| f32::from_bits(((n as i32).wrapping_add(127) << 23) as u32);
            each(p, n, |p, n| if n < -126.0 { 0.0 } else { p * power(n) })
        }
        fn sum(x: F) -> f32 {
            let x: [f32; 8] = from_fn(|i| x[i] + x[i + 8]);
            let x: [f32; 4] = from_fn(|i| x[i] + x[i + 4]);
            (x[0] + x[2]) + (x[1] + x[3])
        }
        fn splat_integer(x: i32) -> I { [x; LANES] }
        fn one_integer(x: i32) -> I { from_fn(|i| if i == 0 { x } else { 0 }) }
        fn add_integers(a: I, b: I) -> I { each(a, b, i32::wrapping_add) }
        fn min_integers(a: I, b: I) -> I { each(a, b, i32::min) }
        fn max_integers(a: I, b: I) -> I { each(a, b, i32::max) }
        fn and(a: I, b: I) -> I { each(a, b, |a, b| a & b) }
        fn append(a: I, b: I) -> I { each(a, b, |a, b| a << 8 | b) }
        fn to_floats(x: I) -> F { x.map(|x| x as f32) }
        fn nearest(x: F) -> I { x.map(|x| x.round_ties_even() as i32) }
        fn truncate(x: F) -> I { x.map(|x| x as i32) }
        fn low_bytes(x: I) -> [i8; LANES] { x.map(|x| x as i8) }
        fn nibbles(x: I) -> [I; 2] { [x.map(|x| x & 0x0f0f_0f0f), x.map(|x| x >> 4 & 0x0f0f_0f0f)] }
        fn add_products(to: I, a: [I; 2], b: [I; 2]) -> I {
            let one = |i: usize, j: usize| products(bytes(a[j][i]), bytes(b[j][i]));
            from_fn(|i| to[i].wrapping_add(one(i, 0)).wrapping_add(one(i, 1)))
        }
        fn quads(rows: [I; 4]) -> [I; 4] { from_fn(|c| from_fn(|i| rows[i % 4][i / 4 * 4 + c])) }
        fn quarters(rows: [I; 4]) -> [I; 4] { from_fn(|q| from_fn(|i| rows[i / 4][4 * q + i % 4])) }
    }
}

impl Dot for Plain {
    #[inline(always)]
    fn dot<const UNSIGNED: bool>(self, sum: I, x: [i8; 4], w: I) -> I {
        let x = x.map(|x| {
            if UNSIGNED {
                i32::from(x as u8)
            } else {
                i32::from(x)
            }
        });
        from_fn(|i| sum[i].wrapping_add(products(bytes(w[i]), x)))
    }
}
