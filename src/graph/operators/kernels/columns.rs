//! A matrix whose columns are written by several threads.
#![allow(unsafe_code)]

use std::marker::PhantomData;
use std::ops::Range;

use super::super::guard::Call;

/// Some columns of a matrix [rows, width], for one thread to write.
pub(in super::super) struct Columns<'a> {
    values: *mut f32,
    rows: usize,
    width: usize,
    mine: Range<usize>,
    matrix: PhantomData<&'a mut [f32]>,
}

impl<'a> Columns<'a> {
    /// Some columns of a matrix that nobody else writes.
    #[cfg(test)]
    pub fn part(values: &'a mut [f32], width: usize, mine: Range<usize>) -> Columns<'a> {
        assert!(width > 0 && values.len().is_multiple_of(width));
        assert!(mine.start <= mine.end && mine.end <= width);
        Columns {
            rows: values.len() / width,
            width,
            mine,
            values: values.as_mut_ptr(),
            matrix: PhantomData,
        }
    }

    /// Which columns these are.
    pub fn range(&self) -> Range<usize> {
        self.mine.clone()
    }

    /// These columns of some rows, from `first` on.
    pub(super) fn rows<const N: usize>(&mut self, first: usize) -> [&mut [f32]; N] {
        assert!(N <= self.rows && first <= self.rows - N);
        std::array::from_fn(|i| {
            let at = (first + i) * self.width + self.mine.start;
            // SAFETY: within the matrix, as the row is and `mine` ends at its width. Rows differ, the
            // columns are of no other `Columns`, and `self` is borrowed for as long as the slices are.
            unsafe { std::slice::from_raw_parts_mut(self.values.add(at), self.mine.len()) }
        })
    }
}

/// The matrix of which threads take their columns.
struct Matrix {
    values: *mut f32,
    rows: usize,
    width: usize,
}

// SAFETY: `by_columns` is the only user; it gives the threads columns that do not overlap, and it
// holds the matrix's `&mut` until all of them have ended.
unsafe impl Sync for Matrix {}
// SAFETY: as above; a pointer to floats is the same on every thread.
unsafe impl Send for Matrix {}

/// Calls `work` with `step` columns of `values` [rows, width] at a time, the last with what is left,
/// on ONNX Runtime's threads.
pub(in super::super) fn by_columns(
    call: &Call,
    values: &mut [f32],
    (width, step): (usize, usize),
    batches: usize,
    work: impl Fn(Columns) + Sync + Send,
) -> ort::Result<()> {
    assert!(step > 0 && width > 0 && values.len().is_multiple_of(width));
    let matrix = Matrix {
        rows: values.len() / width,
        width,
        values: values.as_mut_ptr(),
    };
    let matrix = &matrix;
    call.par_for(width.div_ceil(step), batches, |i| {
        work(Columns {
            values: matrix.values,
            rows: matrix.rows,
            width: matrix.width,
            // Calls get different i, once each, so their columns differ.
            mine: i * step..width.min((i + 1) * step),
            matrix: PhantomData,
        });
    })
}
