//! AVX2 and FMA: a vector is two registers. AVX-VNNI is the same but for products of bytes.
//!
//! AVX2 multiplies unsigned and signed bytes with `vpmaddubsw`, which sums two products in 16 bits and
//! saturates: 255 x 127 + 255 x 127 is beyond them. So it is used for weights from 0 to 15 alone, where
//! even eight sums of pairs fit. Full bytes are widened to 16 bits first; their products are summed in
//! 32 (`vpmaddwd`).

use std::arch::x86_64::*;
use std::borrow::Borrow;
use std::marker::PhantomData;

use super::{Bytes, Dot, LANES, Multiply, Vectors, Work, inlined};

type F = [__m256; 2];
type I = [__m256i; 2];

/// How bytes are multiplied.
pub(in super::super) trait Products: Copy + Send + Sync + 'static {
    type Full: Multiply<Ymm<Self>>;
    type Small: Multiply<Ymm<Self>, Four = [i8; 4]>;

    fn detect() -> bool;
    fn vectorize<W: Work<Ymm<Self>, A>, A>(v: Ymm<Self>, arguments: A) -> W::Output;
    /// As [`Vectors::add_products`], of one register.
    fn add_products(v: Ymm<Self>, to: __m256i, a: [__m256i; 2], b: [__m256i; 2]) -> __m256i;
}

#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Ymm<P>(PhantomData<P>);

pub(in super::super) type Avx2 = Ymm<Maddubs>;
pub(in super::super) type AvxVnni = Ymm<Vnni>;
#[cfg(test)]
pub(in super::super) type AvxVnniEvex = Ymm<Evex>;

/// The sum of 8 lanes: of halves, quarters and so on.
///
/// # Safety
///
/// AVX is there.
#[inline(always)]
pub(super) unsafe fn sum(x: __m256) -> f32 {
    // SAFETY: the caller's promise.
    unsafe {
        let x = _mm_add_ps(_mm256_castps256_ps128(x), _mm256_extractf128_ps::<1>(x));
        let x = _mm_add_ps(x, _mm_movehl_ps(x, x));
        _mm_cvtss_f32(_mm_add_ss(x, _mm_movehdup_ps(x)))
    }
}

/// A function of two or three vectors, of their halves.
macro_rules! both {
    ($f:path, $a:ident) => {
        [$f($a[0]), $f($a[1])]
    };
    ($f:path, $a:ident, $b:ident) => {
        [$f($a[0], $b[0]), $f($a[1], $b[1])]
    };
    ($f:path, $a:ident, $b:ident, $c:ident) => {
        [$f($a[0], $b[0], $c[0]), $f($a[1], $b[1], $c[1])]
    };
}

// SAFETY: two registers have 16 floats or integers.
unsafe impl<P: Products> Vectors for Ymm<P> {
    type F = F;
    type I = I;
    type Full = P::Full;
    type Small = P::Small;

    const PAIRS: usize = 2;
    const WIDE: bool = false;

    fn detect() -> Option<Ymm<P>> {
        let found = is_x86_feature_detected!("avx2") && is_x86_feature_detected!("fma");
        (found && P::detect()).then_some(Ymm(PhantomData))
    }

    #[inline(always)]
    fn vectorize<W: Work<Ymm<P>, A>, A>(self, arguments: A) -> W::Output {
        P::vectorize::<W, A>(self, arguments)
    }

    #[inline(always)]
    fn add_products(self, to: I, a: [I; 2], b: [I; 2]) -> I {
        [
            P::add_products(self, to[0], [a[0][0], a[1][0]], [b[0][0], b[1][0]]),
            P::add_products(self, to[1], [a[0][1], a[1][1]], [b[0][1], b[1][1]]),
        ]
    }

    inlined! {
        fn splat(x: f32) -> F { [_mm256_set1_ps(x); 2] }
        fn add(a: F, b: F) -> F { both!(_mm256_add_ps, a, b) }
        fn sub(a: F, b: F) -> F { both!(_mm256_sub_ps, a, b) }
        fn mul(a: F, b: F) -> F { both!(_mm256_mul_ps, a, b) }
        fn div(a: F, b: F) -> F { both!(_mm256_div_ps, a, b) }
        fn fma(a: F, b: F, c: F) -> F { both!(_mm256_fmadd_ps, a, b, c) }
        fn fnma(a: F, b: F, c: F) -> F { both!(_mm256_fnmadd_ps, a, b, c) }
        fn max(a: F, b: F) -> F { both!(_mm256_max_ps, a, b) }
        fn select(a: F, b: F, x: F, y: F) -> F {
            let there = both!(_mm256_cmp_ps::<_CMP_GT_OQ>, a, b);
            both!(_mm256_blendv_ps, y, x, there)
        }
        fn round(x: F) -> F { both!(_mm256_round_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>, x) }
        fn floor(x: F) -> F { both!(_mm256_floor_ps, x) }
        fn scale(p: F, n: F) -> F {
            let least = [_mm256_set1_ps(-126.0); 2];
            let there = both!(_mm256_cmp_ps::<_CMP_NLT_UQ>, n, least);
            let power = both!(_mm256_cvtps_epi32, n);
            let bias = [_mm256_set1_epi32(127); 2];
            let power = both!(_mm256_add_epi32, power, bias);
            let power = both!(_mm256_slli_epi32::<23>, power);
            let power = both!(_mm256_castsi256_ps, power);
            let scaled = both!(_mm256_mul_ps, p, power);
            both!(_mm256_and_ps, scaled, there)
        }
        fn sum(x: F) -> f32 { sum(_mm256_add_ps(x[0], x[1])) }
        fn splat_integer(x: i32) -> I { [_mm256_set1_epi32(x); 2] }
        fn one_integer(x: i32) -> I { [_mm256_zextsi128_si256(_mm_cvtsi32_si128(x)), _mm256_setzero_si256()] }
        fn add_integers(a: I, b: I) -> I { both!(_mm256_add_epi32, a, b) }
        fn min_integers(a: I, b: I) -> I { both!(_mm256_min_epi32, a, b) }
        fn max_integers(a: I, b: I) -> I { both!(_mm256_max_epi32, a, b) }
        fn and(a: I, b: I) -> I { both!(_mm256_and_si256, a, b) }
        fn append(a: I, b: I) -> I {
            let a = both!(_mm256_slli_epi32::<8>, a);
            both!(_mm256_or_si256, a, b)
        }
        fn to_floats(x: I) -> F { both!(_mm256_cvtepi32_ps, x) }
        fn nearest(x: F) -> I { both!(_mm256_cvtps_epi32, x) }
        fn truncate(x: F) -> I { both!(_mm256_cvttps_epi32, x) }
        fn low_bytes(x: I) -> [i8; LANES] {
            let words = words(x);
            let low = _mm256_set1_epi16(255);
            let [a, b] = halves(_mm256_and_si256(words, low));
            std::mem::transmute(_mm_packus_epi16(a, b))
        }
        fn nibbles(x: I) -> [I; 2] {
            let low = [_mm256_set1_epi8(15); 2];
            let high = both!(_mm256_srli_epi16::<4>, x);
            [both!(_mm256_and_si256, x, low), both!(_mm256_and_si256, high, low)]
        }
        fn quads(rows: [I; 4]) -> [I; 4] {
            let [a, b, c, d] = rows;
            let (ab, cd) = (both!(_mm256_unpacklo_epi32, a, b), both!(_mm256_unpacklo_epi32, c, d));
            let (high_ab, high_cd) = (both!(_mm256_unpackhi_epi32, a, b), both!(_mm256_unpackhi_epi32, c, d));
            [
                both!(_mm256_unpacklo_epi64, ab, cd),
                both!(_mm256_unpackhi_epi64, ab, cd),
                both!(_mm256_unpacklo_epi64, high_ab, high_cd),
                both!(_mm256_unpackhi_epi64, high_ab, high_cd),
            ]
        }
        fn quarters(rows: [I; 4]) -> [I; 4] {
            let [a, b, c, d] = rows;
            let (low, high) = (both!(_mm256_permute2x128_si256::<0x20>, a, b), both!(_mm256_permute2x128_si256::<0x31>, a, b));
            let (low_cd, high_cd) = (both!(_mm256_permute2x128_si256::<0x20>, c, d), both!(_mm256_permute2x128_si256::<0x31>, c, d));
            [[low[0], low_cd[0]], [high[0], high_cd[0]], [low[1], low_cd[1]], [high[1], high_cd[1]]]
        }
    }
}

/// The low half of each lane, 16 bits each.
#[inline(always)]
unsafe fn words(x: I) -> __m256i {
    // SAFETY: the caller's promise of AVX2.
    unsafe {
        let low = _mm256_set1_epi32(0xffff);
        let packed = _mm256_packus_epi32(_mm256_and_si256(x[0], low), _mm256_and_si256(x[1], low));
        _mm256_permute4x64_epi64::<0xd8>(packed)
    }
}

#[inline(always)]
unsafe fn halves(x: __m256i) -> [__m128i; 2] {
    // SAFETY: the caller's promise of AVX2.
    unsafe { [_mm256_castsi256_si128(x), _mm256_extracti128_si256::<1>(x)] }
}

/// Products by AVX2 alone.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Maddubs;

impl Products for Maddubs {
    type Full = Wide;
    type Small = Narrow;

    fn detect() -> bool {
        true
    }

    #[inline(always)]
    fn vectorize<W: Work<Avx2, A>, A>(v: Avx2, arguments: A) -> W::Output {
        #[target_feature(enable = "avx2,fma")]
        fn enter<W: Work<Avx2, A>, A>(v: Avx2, arguments: A) -> W::Output {
            W::run(v, arguments)
        }
        // SAFETY: the token exists only where `detect` found these features.
        unsafe { enter::<W, A>(v, arguments) }
    }

    #[inline(always)]
    fn add_products(_: Avx2, to: __m256i, a: [__m256i; 2], b: [__m256i; 2]) -> __m256i {
        // SAFETY: as above. A sum of two pairs is at most 4 x 15 x 128.
        unsafe {
            let pairs = _mm256_add_epi16(
                _mm256_maddubs_epi16(a[0], b[0]),
                _mm256_maddubs_epi16(a[1], b[1]),
            );
            _mm256_add_epi32(to, _mm256_madd_epi16(pairs, _mm256_set1_epi16(1)))
        }
    }
}

/// Full bytes, multiplied in 16 bits. Bytes 0 and 2 of each four, then 1 and 3: so a shift parts them.
pub(in super::super) struct Wide;

impl Multiply<Avx2> for Wide {
    /// Two numbers of 16 bits in each.
    type Four = [i32; 2];
    /// Bytes 0 and 2, bytes 1 and 3.
    type Weights = [I; 2];
    type Sums = [I; 2];

    #[inline(always)]
    fn fours(_: Avx2, x: I) -> [[i32; 2]; LANES / 4] {
        // SAFETY: the token proves AVX2; arrays of as many bytes.
        unsafe {
            let order = _mm256_broadcastsi128_si256(_mm_setr_epi8(
                0, 1, 4, 5, 2, 3, 6, 7, 8, 9, 12, 13, 10, 11, 14, 15,
            ));
            std::mem::transmute(_mm256_shuffle_epi8(words(x), order))
        }
    }

    #[inline(always)]
    fn weights<W: Borrow<[[i8; 4]; LANES]>>(v: Avx2, from: &[W]) -> [I; 2] {
        let w = v.bytes(from[0].borrow());
        // SAFETY: the token proves AVX2.
        unsafe {
            let even = both!(_mm256_slli_epi16::<8>, w);
            [
                both!(_mm256_srai_epi16::<8>, even),
                both!(_mm256_srai_epi16::<8>, w),
            ]
        }
    }

    #[inline(always)]
    fn open(_: Avx2, sums: [I; 2]) -> [I; 2] {
        sums
    }

    #[inline(always)]
    fn dot(v: Avx2, mut sums: [I; 2], w: [I; 2], x: [&[[i32; 2]]; 2]) -> [I; 2] {
        for (sum, x) in sums.iter_mut().zip(x) {
            for (w, x) in w.into_iter().zip(&x[0]) {
                let x = v.splat_integer(*x);
                for i in 0..2 {
                    // SAFETY: the token proves AVX2.
                    sum[i] = unsafe { _mm256_add_epi32(sum[i], _mm256_madd_epi16(w[i], x[i])) };
                }
            }
        }
        sums
    }

    #[inline(always)]
    fn close(_: Avx2, _: [I; 2], found: [I; 2]) -> [I; 2] {
        found
    }
}

/// Small weights, whose products are summed in 16 bits for eight vectors of them: 8 x 2 x 15 x 128 is
/// the largest sum.
pub(in super::super) struct Narrow;

impl Multiply<Avx2> for Narrow {
    type Four = [i8; 4];
    type Weights = I;
    type Sums = [I; 2];

    const RUN: usize = 8;

    #[inline(always)]
    fn fours(v: Avx2, x: I) -> [[i8; 4]; LANES / 4] {
        super::fours(v.low_bytes(x))
    }

    #[inline(always)]
    fn weights<W: Borrow<[[i8; 4]; LANES]>>(v: Avx2, from: &[W]) -> I {
        v.bytes(from[0].borrow())
    }

    #[inline(always)]
    fn open(v: Avx2, _: [I; 2]) -> [I; 2] {
        [v.splat_integer(0); 2]
    }

    #[inline(always)]
    fn dot(v: Avx2, mut sums: [I; 2], w: I, x: [&[[i8; 4]]; 2]) -> [I; 2] {
        for (sum, x) in sums.iter_mut().zip(x) {
            let x = v.splat_integer(i32::from_ne_bytes(x[0].map(|x| x as u8)));
            for i in 0..2 {
                // SAFETY: the token proves AVX2.
                sum[i] = unsafe { _mm256_add_epi16(sum[i], _mm256_maddubs_epi16(w[i], x[i])) };
            }
        }
        sums
    }

    #[inline(always)]
    fn close(_: Avx2, mut sums: [I; 2], found: [I; 2]) -> [I; 2] {
        for (sum, found) in sums.iter_mut().zip(found) {
            for (sum, found) in sum.iter_mut().zip(found) {
                // SAFETY: the token proves AVX2.
                *sum = unsafe {
                    _mm256_add_epi32(*sum, _mm256_madd_epi16(found, _mm256_set1_epi16(1)))
                };
            }
        }
        sums
    }
}

/// Products by AVX-VNNI, whose `vpdpbusd` is that of AVX-512 for 256 bits.
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Vnni;

/// The instruction by another encoding, so that machines with AVX-512 can try the rest.
#[cfg(test)]
#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Evex;

macro_rules! vnni {
    ($name:ident, $dpbusd:ident, $features:literal, $($feature:tt),*) => {
        impl Products for $name {
            type Full = Bytes<true>;
            type Small = Bytes<false>;

            fn detect() -> bool {
                $(is_x86_feature_detected!($feature))&&*
            }

            #[inline(always)]
            fn vectorize<W: Work<Ymm<$name>, A>, A>(v: Ymm<$name>, arguments: A) -> W::Output {
                #[target_feature(enable = $features)]
                fn enter<W: Work<Ymm<$name>, A>, A>(v: Ymm<$name>, arguments: A) -> W::Output {
                    W::run(v, arguments)
                }
                // SAFETY: the token exists only where `detect` found these features.
                unsafe { enter::<W, A>(v, arguments) }
            }

            #[inline(always)]
            fn add_products(_: Ymm<$name>, to: __m256i, a: [__m256i; 2], b: [__m256i; 2]) -> __m256i {
                // SAFETY: as above.
                unsafe { $dpbusd($dpbusd(to, a[0], b[0]), a[1], b[1]) }
            }
        }

        impl Dot for Ymm<$name> {
            #[inline(always)]
            fn dot<const UNSIGNED: bool>(self, sum: I, x: [i8; 4], w: I) -> I {
                let x = self.splat_integer(i32::from_ne_bytes(x.map(|x| x as u8)));
                let (a, b) = if UNSIGNED { (x, w) } else { (w, x) };
                // SAFETY: the token proves that the instruction is there.
                unsafe { both!($dpbusd, sum, a, b) }
            }
        }
    };
}
vnni!(Vnni, _mm256_dpbusd_avx_epi32, "avx2,fma,avxvnni", "avxvnni");
#[cfg(test)]
vnni!(
    Evex,
    _mm256_dpbusd_epi32,
    "avx2,fma,avx512vnni,avx512vl",
    "avx512vnni",
    "avx512vl"
);
