//! Integer products by AVX-512's `vpdpbusd`: unsigned times signed bytes, four at a time.
//!
//! The only unsafe code of the crate: instructions that not every processor has, loads and stores by
//! pointer, and threads that write different columns of one matrix.
#![allow(unsafe_code)]

pub(super) mod attention;
pub(super) mod products;

use std::marker::PhantomData;
use std::ops::Range;

/// Whether this processor has the instructions. Nothing here may be called where it has not.
pub(super) fn is_available() -> bool {
    is_x86_feature_detected!("avx512f")
        && is_x86_feature_detected!("avx512bw")
        && is_x86_feature_detected!("avx512vl")
        && is_x86_feature_detected!("avx512vnni")
}

/// A matrix whose columns are written by several threads.
pub(super) struct Columns<'a> {
    values: *mut f32,
    width: usize,
    len: usize,
    matrix: PhantomData<&'a mut [f32]>,
}

// SAFETY: who shares it promises to write different columns.
unsafe impl Sync for Columns<'_> {}

impl<'a> Columns<'a> {
    pub fn new(values: &'a mut [f32], width: usize) -> Columns<'a> {
        Columns {
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
        // SAFETY: `at` holds it against the matrix's size, and no other thread writes this column.
        unsafe { *self.at(row, &(column..column + 1)) = value }
    }
}
