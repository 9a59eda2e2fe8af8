//! Signals that end the program wait until a file is in its place.
//!
//! An answer is kept in memory until it is complete, so a signal that comes meanwhile ends the program
//! as usual and leaves nothing behind. Only while a complete file is put in its place, a matter of
//! milliseconds, there is a temporary one: a signal that comes then acts right after it. The second
//! signal acts at once, since a disk may hang.

#[cfg(unix)]
pub use unix::postponed;

/// Other systems end a program as they like.
#[cfg(not(unix))]
pub fn postponed<T>(work: impl FnOnce() -> T) -> T {
    work()
}

#[cfg(unix)]
mod unix {
    use std::fs;
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, OnceLock};

    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    use signal_hook::flag::{register, register_conditional_default};
    use signal_hook::low_level::emulate_default_handler;

    const ENDING: [i32; 4] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT];

    /// A signal and whether it acts at once. The signal itself sets that, so the second does.
    type Armed = (i32, Arc<AtomicBool>);

    /// Does `work`; a signal that comes meanwhile acts right after it.
    pub fn postponed<T>(work: impl FnOnce() -> T) -> T {
        static SIGNALS: OnceLock<Vec<Armed>> = OnceLock::new();
        let signals = SIGNALS.get_or_init(watch);
        for (_, armed) in signals {
            armed.store(false, Ordering::SeqCst);
        }
        let done = work();
        for (signal, armed) in signals {
            if armed.swap(true, Ordering::SeqCst) {
                // Ends the program by this signal, so that its parent sees what happened.
                let _ = emulate_default_handler(*signal);
            }
        }
        done
    }

    fn watch() -> Vec<Armed> {
        let ignored = ignored();
        ENDING
            .into_iter()
            .filter(|signal| ignored & (1 << (signal - 1)) == 0)
            .filter_map(|signal| {
                let armed = Arc::new(AtomicBool::new(true));
                // In this order: a signal acts if one came before it, and then arms the next.
                register_conditional_default(signal, armed.clone()).ok()?;
                register(signal, armed.clone()).ok()?;
                Some((signal, armed))
            })
            .collect()
    }

    /// Signals that this program was started to ignore, as nohup does, one a bit (Linux).
    fn ignored() -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .unwrap_or(0)
    }
}
