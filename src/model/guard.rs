//! Work of the tokenizer's crate, fenced in: what panics there becomes an error, what takes too long
//! is given up.
//!
//! A tokenizer.json is a small program (patterns, replacements, tables) that somebody else wrote, and
//! the crate that runs it panics on some and searches very long on others.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::fence::caught;

/// Room for patterns that nest as deeply as they may.
const STACK: usize = 8 << 20;

/// What `work` gives on a thread of its own, for so long at most, or why it gives nothing. A thread cannot be stopped: one that is given
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
    fn a_panic_on_the_other_thread_is_told_in_its_own_words() {
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
