//! Signals that end the program wait until a file is in its place.
//!
//! An answer is kept in memory until it is complete, so a signal that comes meanwhile ends the program
//! as usual and leaves nothing behind. Only while a complete file is put in its place, a matter of
//! milliseconds, there is a temporary one: a signal that comes then acts right after it. The second
//! signal acts at once, since a disk may hang. `talk` and `serve` are told of the first, and end in
//! order; `eval` cleans up behind its judge.

#[cfg(unix)]
pub use unix::{cleaned, postponed, told};

/// Other systems end a program as they like.
#[cfg(not(unix))]
pub fn postponed<T>(work: impl FnOnce() -> T) -> T {
    work()
}

/// Other systems end a program as they like.
#[cfg(not(unix))]
pub fn cleaned(_: impl Fn() + Send + 'static) -> std::io::Result<()> {
    Ok(())
}

/// Calls `stop` at the first Ctrl-C; the second ends the program.
#[cfg(all(not(unix), feature = "serve"))]
pub fn told(stop: impl Fn() + Send + 'static) -> std::io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()?;
    let wait = async move {
        let _ = tokio::signal::ctrl_c().await;
        stop();
        let _ = tokio::signal::ctrl_c().await;
        std::process::exit(i32::from(super::EXIT_BAD_INPUT));
    };
    std::thread::spawn(move || runtime.block_on(wait));
    Ok(())
}

/// Other systems end a program as they like.
#[cfg(all(not(unix), not(feature = "serve")))]
pub fn told(_: impl Fn() + Send + 'static) -> std::io::Result<()> {
    Ok(())
}

#[cfg(unix)]
mod unix {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
    use std::{fs, io};

    use signal_hook::consts::{SIGHUP, SIGINT, SIGQUIT, SIGTERM};
    use signal_hook::flag::{register, register_conditional_default};
    use signal_hook::iterator::Signals;
    use signal_hook::low_level::emulate_default_handler;

    const ENDING: [i32; 4] = [SIGINT, SIGTERM, SIGHUP, SIGQUIT];

    /// A signal and whether it acts at once. The signal itself sets that, so the second does.
    type Armed = (i32, Arc<AtomicBool>);

    /// Whether signals are told and end nothing by themselves.
    static TOLD: AtomicBool = AtomicBool::new(false);
    /// What is postponed has its turn, one at a time: the end of one would look like a signal to another.
    static TURN: Mutex<()> = Mutex::new(());

    /// Does `work`; a signal that comes meanwhile acts right after it.
    pub fn postponed<T>(work: impl FnOnce() -> T) -> T {
        let _turn = turn();
        if TOLD.load(Ordering::SeqCst) {
            return work();
        }
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

    /// Calls `clean` at the first signal to end, when no file is being put in its place, and ends the
    /// program by that signal; the second acts at once. To be called before anything is [`postponed`].
    pub fn cleaned(clean: impl Fn() + Send + 'static) -> io::Result<()> {
        each(move |signal| {
            let _turn = turn();
            clean();
            let _ = emulate_default_handler(signal);
        })
    }

    /// Calls `stop`, on a thread of its own, at the first signal to end; the second acts at once. To be
    /// called before anything is [`postponed`].
    pub fn told(stop: impl Fn() + Send + 'static) -> io::Result<()> {
        each(move |_| stop())
    }

    fn turn() -> MutexGuard<'static, ()> {
        TURN.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn each(act: impl Fn(i32) + Send + 'static) -> io::Result<()> {
        TOLD.store(true, Ordering::SeqCst);
        let armed = Arc::new(AtomicBool::new(false));
        for signal in wanted() {
            arm(signal, &armed)?;
        }
        let mut signals = Signals::new(wanted())?;
        std::thread::spawn(move || signals.forever().for_each(act));
        Ok(())
    }

    fn watch() -> Vec<Armed> {
        wanted()
            .filter_map(|signal| {
                let armed = Arc::new(AtomicBool::new(true));
                arm(signal, &armed).ok()?;
                Some((signal, armed))
            })
            .collect()
    }

    /// Lets `signal` end the program where it is armed; the signal itself arms the next.
    fn arm(signal: i32, armed: &Arc<AtomicBool>) -> io::Result<()> {
        // In this order: a signal acts if one came before it, and then arms the next.
        register_conditional_default(signal, armed.clone())?;
        register(signal, armed.clone()).map(drop)
    }

    /// The signals to end that this program was not started to ignore.
    fn wanted() -> impl Iterator<Item = i32> {
        let ignored = ignored();
        ENDING
            .into_iter()
            .filter(move |signal| ignored & (1 << (signal - 1)) == 0)
    }

    /// Signals that this program was started to ignore, as nohup does, one a bit (Linux).
    fn ignored() -> u64 {
        let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
        let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
        mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok())
            .unwrap_or(0)
    }
}

#[cfg(all(test, unix))]
mod tests {
    use std::os::unix::process::ExitStatusExt;
    use std::process::Command;
    use std::{env, fs};

    use signal_hook::consts::SIGTERM;
    use signal_hook::low_level::raise;

    use super::*;

    const FILE: &str = "MINI_OMNI_TEST_FILE";
    const SIGNALS: &str = "MINI_OMNI_TEST_SIGNALS";

    /// No test of its own: what `signals_wait_for_a_file` runs as another process.
    #[test]
    fn a_process_that_is_told_to_end() {
        let (Ok(file), Ok(signals)) = (env::var(FILE), env::var(SIGNALS)) else {
            return;
        };
        postponed(|| {
            (0..signals.len()).for_each(|_| raise(SIGTERM).expect("a signal"));
            fs::write(&file, "whole").expect("written");
        });
        fs::write(&file, "and more").expect("written");
        raise(SIGTERM).expect("a signal");
        fs::write(&file, "and too much").expect("written");
    }

    /// What the process above has written after so many signals, and the signal it died by.
    fn after(signals: &str) -> (Option<String>, Option<i32>) {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("file");
        let status = Command::new(env::current_exe().expect("this test"))
            .args([
                "--exact",
                "cli::signals::tests::a_process_that_is_told_to_end",
            ])
            .env(FILE, &file)
            .env(SIGNALS, signals)
            .output()
            .expect("a process")
            .status;
        (fs::read_to_string(file).ok(), status.signal())
    }

    #[test]
    fn several_files_at_once_are_no_signal() {
        std::thread::scope(|scope| {
            for _ in 0..4 {
                let work = || std::thread::sleep(std::time::Duration::from_micros(200));
                scope.spawn(move || (0..100).for_each(|_| postponed(work)));
            }
        });
    }

    #[test]
    fn signals_wait_for_a_file() {
        let died = Some(SIGTERM);
        assert_eq!(after("1"), (Some("whole".into()), died), "the first waits");
        assert_eq!(after("12"), (None, died), "the second acts at once");
        let later = after("");
        assert_eq!(
            later,
            (Some("and more".into()), died),
            "and one that comes later"
        );
    }
}
