//! Work of the tokenizer's crate, fenced in: what panics there becomes an error, what takes too long
//! is given up.
//!
//! A tokenizer.json is a small program (patterns, replacements, tables) that somebody else wrote, and
//! the crate that runs it panics on some and searches very long on others.

use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook, take_hook};
use std::sync::{Once, mpsc};
use std::thread;
use std::time::Duration;

/// Room for patterns that nest as deeply as they may.
const STACK: usize = 8 << 20;

thread_local! {
    /// Whether a panic of this thread is an error that somebody will be told.
    static FENCED: Cell<bool> = const { Cell::new(false) };
}

/// What `work` gives, or the words it panicked with; they are not printed.
pub(super) fn caught<T>(work: impl FnOnce() -> T) -> Result<T, String> {
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

/// The same on a thread of its own, for so long at most. A thread cannot be stopped: one that is given
/// up goes on until its work ends, which the limits on tokenizer and text make it do.
pub(super) fn caught_within<T: Send + 'static>(
    limit: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let (send, receive) = mpsc::sync_channel(1);
    thread::Builder::new()
        .name("tokenizer".into())
        .stack_size(STACK)
        .spawn(move || {
            let _ = send.send(caught(work)); // nobody may be waiting any more
        })
        .map_err(|e| format!("no thread can be started: {e}"))?;
    receive.recv_timeout(limit).unwrap_or_else(|_| {
        let seconds = limit.as_secs_f64();
        Err(format!("it takes more than {seconds} s"))
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
        let said = caught_within(Duration::from_secs(9), || -> u8 { panic!("no {}", 5) });
        assert_eq!(said, Err("no 5".to_string()));
    }

    #[test]
    fn work_without_end_is_given_up() {
        let said = caught_within(Duration::from_millis(20), || {
            thread::sleep(Duration::from_millis(500));
        });
        assert_eq!(said, Err("it takes more than 0.02 s".to_string()));
    }
}
