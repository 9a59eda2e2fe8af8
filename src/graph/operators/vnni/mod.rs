//! Integer products by AVX-512's `vpdpbusd`: unsigned times signed bytes, four at a time.
//!
//! The only unsafe code of the crate: instructions that not every processor has, loads and stores by
//! pointer, and threads that write different parts of one matrix.
#![allow(unsafe_code)]

pub(super) mod attention;
pub(super) mod products4;
pub(super) mod products8;

use std::arch::x86_64::*;
use std::marker::PhantomData;
use std::ops::Range;

/// Whether this processor has the instructions. Nothing here may be called where it has not.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512dq")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
}

/// A matrix whose parts are written by several threads, some columns or some rows each.
pub(super) struct Shared<'a> {
    values: *mut f32,
    width: usize,
    len: usize,
    matrix: PhantomData<&'a mut [f32]>,
}

// SAFETY: who shares it promises to write different parts.
unsafe impl Sync for Shared<'_> {}

impl<'a> Shared<'a> {
    pub fn new(values: &'a mut [f32], width: usize) -> Shared<'a> {
        Shared {
            width,
            len: values.len(),
            values: values.as_mut_ptr(),
            matrix: PhantomData,
        }
    }

    /// Where columns `columns` of `row` are.
    fn at(&self, row: usize, columns: &Range<usize>) -> *mut f32 {
        let first = row * self.width + columns.start;
        assert!(columns.end <= self.width && first + columns.len() <= self.len);
        self.values.wrapping_add(first)
    }

    fn set(&self, row: usize, column: usize, value: f32) {
        // SAFETY: `at` holds it against the matrix's size, and no other thread writes here.
        unsafe { *self.at(row, &(column..column + 1)) = value }
    }
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
