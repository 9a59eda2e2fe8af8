//! The signs to stop: the first lets answers under way end, the second ends the program at once.

use std::future::Future;
use std::io;

/// Waits for the first sign. From then on the next one ends the program.
#[cfg(unix)]
pub fn sign() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    use signal_hook::consts::{SIGINT, SIGTERM};
    use signal_hook::low_level::emulate_default_handler;
    use tokio::signal::unix::{SignalKind, signal};

    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut next = async move || {
        tokio::select! {
            _ = term.recv() => SIGTERM,
            _ = int.recv() => SIGINT,
        }
    };
    Ok(async move {
        next().await;
        tokio::spawn(async move {
            // Ends the program by this signal, so that its parent sees what happened.
            let _ = emulate_default_handler(next().await);
        });
    })
}

/// Waits for the first sign. From then on the next one ends the program.
#[cfg(not(unix))]
pub fn sign() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    Ok(async {
        let _ = tokio::signal::ctrl_c().await;
        tokio::spawn(async {
            let _ = tokio::signal::ctrl_c().await;
            std::process::exit(i32::from(super::super::EXIT_BAD_INPUT));
        });
    })
}
