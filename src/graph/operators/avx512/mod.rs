//! The kernels' arithmetic in AVX-512: integer products by `vpdpbusd` (unsigned times signed bytes, four
//! at a time), and attention over a cache in float.
//!
//! The only unsafe code of the crate: instructions that not every processor has, loads and stores by
//! pointer, threads that write different columns of one matrix, and a cache that is read and written
//! in place. What takes an [`Avx512`] enters the code that has the instructions.
#![allow(unsafe_code)]

pub(super) mod attention;
pub(super) mod cache;
pub(super) mod cached;
mod columns;
pub(super) mod products4;
pub(super) mod products8;
mod token;

use std::arch::x86_64::*;

pub(super) use self::columns::{Columns, by_columns};
pub(super) use self::token::Avx512;

/// Below this a vector is lifted by [`LIFT`] before it is rounded: the inverse of its scale would
/// overflow to infinity, and infinity times zero is no number.
const SMALL: f32 = 1e-30;
/// A power of two, so that nothing is rounded by it.
const LIFT: f32 = (1_u128 << 96) as f32;

/// The largest magnitude of 16 columns of numbers; no number where any of them is none.
///
/// Bits of magnitudes are ordered as the magnitudes are, with infinity and then what is no number
/// behind them, which `_mm512_max_ps` would pass over.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn largest(most: __m512i, x: __m512) -> __m512i {
    _mm512_max_epu32(most, _mm512_castps_si512(_mm512_abs_ps(x)))
}

/// 2^x for x in 0..1 as a polynomial: a fit of least relative error, 3e-6.
const POWER: [f32; 5] = [
    1.000_002_6,
    0.693_003_83,
    0.241_442_74,
    0.052_011_5,
    0.013_534_147,
];

/// 2^x for x of at most 0.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn exp2(x: __m512) -> __m512 {
    let rest = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    let mut power = _mm512_set1_ps(POWER[4]);
    for c in [POWER[3], POWER[2], POWER[1], POWER[0]] {
        power = _mm512_fmadd_ps(power, rest, _mm512_set1_ps(c));
    }
    _mm512_scalef_ps(power, x)
}

/// Rows and columns of 16 x 16 numbers of 32 bits exchanged.
#[inline]
#[target_feature(enable = "avx512f,avx512bw,avx512dq,avx512vl,avx512vnni")]
fn transpose(rows: [__m512i; 16]) -> [__m512i; 16] {
    let zero = _mm512_setzero_si512();
    let (mut a, mut b) = ([zero; 16], [zero; 16]);
    for i in 0..8 {
        a[2 * i] = _mm512_unpacklo_epi32(rows[2 * i], rows[2 * i + 1]);
        a[2 * i + 1] = _mm512_unpackhi_epi32(rows[2 * i], rows[2 * i + 1]);
    }
    for i in 0..4 {
        for j in 0..2 {
            let (x, y) = (a[4 * i + j], a[4 * i + j + 2]);
            b[4 * i + 2 * j] = _mm512_unpacklo_epi64(x, y);
            b[4 * i + 2 * j + 1] = _mm512_unpackhi_epi64(x, y);
        }
    }
    // b[4 i + c] has, in each of its four quarters q, column 4 q + c of rows 4 i to 4 i + 3.
    for c in 0..4 {
        let (low, high) = (
            _mm512_shuffle_i32x4(b[c], b[4 + c], 0x88),
            _mm512_shuffle_i32x4(b[c], b[4 + c], 0xdd),
        );
        let (low2, high2) = (
            _mm512_shuffle_i32x4(b[8 + c], b[12 + c], 0x88),
            _mm512_shuffle_i32x4(b[8 + c], b[12 + c], 0xdd),
        );
        a[c] = _mm512_shuffle_i32x4(low, low2, 0x88);
        a[8 + c] = _mm512_shuffle_i32x4(low, low2, 0xdd);
        a[4 + c] = _mm512_shuffle_i32x4(high, high2, 0x88);
        a[12 + c] = _mm512_shuffle_i32x4(high, high2, 0xdd);
    }
    a
}
