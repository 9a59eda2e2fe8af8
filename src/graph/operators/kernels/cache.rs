//! The decoder's cache in place: ONNX Runtime gives a node the same memory as its input (past) and
//! its output (present).
#![allow(unsafe_code)]

use super::super::guard::{Call, Output};

/// Output `present`, of the shape of the input `past`, as it goes on: the same memory, or a copy.
///
/// A reference to the past must not exist while one to the present can write the same memory, so
/// the past is a pointer here, never a slice, and a reader of it reads the present.
pub(in super::super) fn present<'a>(
    call: &'a Call,
    past: usize,
    present: usize,
) -> ort::Result<Output<'a>> {
    let mut output = call.output(present, call.shape(past))?;
    let (from, to) = (call.pointer(past), output.data()?);
    if from != to.as_ptr() {
        // SAFETY: both have as many floats as the past's shape says. `Call::output` refuses an output
        // that overlaps an input other than by being the same, which the pointers exclude. ONNX
        // Runtime initialised the input, and keeps it for as long as the call.
        unsafe { from.copy_to_nonoverlapping(to.as_mut_ptr(), to.len()) }
    }
    Ok(output)
}
