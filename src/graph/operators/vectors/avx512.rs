//! AVX-512 with VNNI: a vector is a register, and `vpdpbusd` multiplies unsigned and signed bytes, four
//! at a time.

use std::arch::x86_64::*;

use super::{Bytes, Dot, LANES, Vectors, Work, inlined};

#[derive(Debug, Clone, Copy)]
pub(in super::super) struct Avx512(());

type F = __m512;
type I = __m512i;

// SAFETY: a register has 16 floats or integers.
unsafe impl Vectors for Avx512 {
    type F = F;
    type I = I;
    type Full = Bytes<true>;
    type Small = Bytes<false>;

    const PAIRS: usize = 6;
    const WIDE: bool = true;

    fn detect() -> Option<Avx512> {
        let found = is_x86_feature_detected!("avx512f")
            && is_x86_feature_detected!("avx512bw")
            && is_x86_feature_detected!("avx512dq")
            && is_x86_feature_detected!("avx512vl")
            && is_x86_feature_detected!("avx512vnni");
        found.then_some(Avx512(()))
    }

    #[inline(always)]
    fn vectorize<W: Work<Avx512, A>, A>(self, arguments: A) -> W::Output {
        #[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
        fn enter<W: Work<Avx512, A>, A>(v: Avx512, arguments: A) -> W::Output {
            W::run(v, arguments)
        }
        // SAFETY: `detect` found these features.
        unsafe { enter::<W, A>(self, arguments) }
    }

    inlined! {
        fn splat(x: f32) -> F { _mm512_set1_ps(x) }
        fn add(a: F, b: F) -> F { _mm512_add_ps(a, b) }
        fn sub(a: F, b: F) -> F { _mm512_sub_ps(a, b) }
        fn mul(a: F, b: F) -> F { _mm512_mul_ps(a, b) }
        fn div(a: F, b: F) -> F { _mm512_div_ps(a, b) }
        fn fma(a: F, b: F, c: F) -> F { _mm512_fmadd_ps(a, b, c) }
        fn fnma(a: F, b: F, c: F) -> F { _mm512_fnmadd_ps(a, b, c) }
        fn max(a: F, b: F) -> F { _mm512_max_ps(a, b) }
        fn select(a: F, b: F, x: F, y: F) -> F {
            _mm512_mask_mov_ps(y, _mm512_cmp_ps_mask::<_CMP_GT_OQ>(a, b), x)
        }
        fn round(x: F) -> F { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC }>(x) }
        fn floor(x: F) -> F { _mm512_roundscale_ps::<{ _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC }>(x) }
        fn scale(p: F, n: F) -> F {
            let there = _mm512_cmp_ps_mask::<_CMP_NLT_UQ>(n, _mm512_set1_ps(-126.0));
            _mm512_maskz_scalef_ps(there, p, n)
        }
        fn sum(x: F) -> f32 {
            let x = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps::<1>(x));
            super::avx2::sum(x)
        }
        fn splat_integer(x: i32) -> I { _mm512_set1_epi32(x) }
        fn one_integer(x: i32) -> I { _mm512_zextsi128_si512(_mm_cvtsi32_si128(x)) }
        fn add_integers(a: I, b: I) -> I { _mm512_add_epi32(a, b) }
        fn min_integers(a: I, b: I) -> I { _mm512_min_epi32(a, b) }
        fn max_integers(a: I, b: I) -> I { _mm512_max_epi32(a, b) }
        fn and(a: I, b: I) -> I { _mm512_and_si512(a, b) }
        fn append(a: I, b: I) -> I { _mm512_or_si512(_mm512_slli_epi32::<8>(a), b) }
        fn to_floats(x: I) -> F { _mm512_cvtepi32_ps(x) }
        fn nearest(x: F) -> I { _mm512_cvtps_epi32(x) }
        fn truncate(x: F) -> I { _mm512_cvttps_epi32(x) }
        fn low_bytes(x: I) -> [i8; LANES] { std::mem::transmute(_mm512_cvtepi32_epi8(x)) }
        fn nibbles(x: I) -> [I; 2] {
            let low = _mm512_set1_epi8(15);
            [_mm512_and_si512(x, low), _mm512_and_si512(_mm512_srli_epi16::<4>(x), low)]
        }
        fn add_products(to: I, a: [I; 2], b: [I; 2]) -> I {
            _mm512_dpbusd_epi32(_mm512_dpbusd_epi32(to, a[0], b[0]), a[1], b[1])
        }
        fn quads(rows: [I; 4]) -> [I; 4] {
            let [a, b, c, d] = rows;
            let (ab, cd) = (_mm512_unpacklo_epi32(a, b), _mm512_unpacklo_epi32(c, d));
            let (high_ab, high_cd) = (_mm512_unpackhi_epi32(a, b), _mm512_unpackhi_epi32(c, d));
            [
                _mm512_unpacklo_epi64(ab, cd),
                _mm512_unpackhi_epi64(ab, cd),
                _mm512_unpacklo_epi64(high_ab, high_cd),
                _mm512_unpackhi_epi64(high_ab, high_cd),
            ]
        }
        fn quarters(rows: [I; 4]) -> [I; 4] {
            let [a, b, c, d] = rows;
            let (even_ab, odd_ab) = (_mm512_shuffle_i32x4::<0x88>(a, b), _mm512_shuffle_i32x4::<0xdd>(a, b));
            let (even_cd, odd_cd) = (_mm512_shuffle_i32x4::<0x88>(c, d), _mm512_shuffle_i32x4::<0xdd>(c, d));
            [
                _mm512_shuffle_i32x4::<0x88>(even_ab, even_cd),
                _mm512_shuffle_i32x4::<0x88>(odd_ab, odd_cd),
                _mm512_shuffle_i32x4::<0xdd>(even_ab, even_cd),
                _mm512_shuffle_i32x4::<0xdd>(odd_ab, odd_cd),
            ]
        }
    }
}

impl Dot for Avx512 {
    #[inline(always)]
    fn dot<const UNSIGNED: bool>(self, sum: I, x: [i8; 4], w: I) -> I {
        let x = self.splat_integer(i32::from_ne_bytes(x.map(|x| x as u8)));
        let (a, b) = if UNSIGNED { (x, w) } else { (w, x) };
        // SAFETY: `self` proves that the instruction is there.
        unsafe { _mm512_dpbusd_epi32(sum, a, b) }
    }
}
