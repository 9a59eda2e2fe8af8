//! Work that may panic on a stranger's input, fenced in: its panic is an error, and is not printed.
//!
//! A process that answers many must not end for the file of one. Other people's
//! readers and tokenizers, and our kernels under ONNX Runtime, run behind this one fence.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::Once;

thread_local! {
    /// Whether a panic of this thread is an error that somebody will be told.
    static FENCED: Cell<bool> = const { Cell::new(false) };
}

/// What `work` gives, or the words it panicked with; they are not printed.
pub(crate) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
    static QUIET: Once = Once::new();
    QUIET.call_once(|| {
        let loud = take_hook();
        set_hook(Box::new(move |panic| {
            if !FENCED.get() {
                loud(panic);
            }
        }));
    });
    let before = FENCED.replace(true);
    let result = catch_unwind(AssertUnwindSafe(work));
    FENCED.set(before);
    result.map_err(|panic| {
        let words = panic.downcast_ref::<String>().map(String::as_str);
        let words = words.or(panic.downcast_ref::<&str>().copied());
        words.unwrap_or("it panicked").to_string()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_panic_is_told_in_its_own_words_and_a_result_is_handed_on() {
        assert_eq!(caught(|| 7), Ok(7));
        let n = Vec::<u8>::new().len();
        assert!(!caught(|| 1 / n).expect_err("a panic").is_empty());
    }
}
