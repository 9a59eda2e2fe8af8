//! The sign to stop: the first signal lets answers under way end, the second ends the program at once.

use std::future::Future;
use std::io;

use tokio::sync::watch;

use crate::cli::signals;

/// Waits for the first signal. From then on the next one ends the program.
pub fn sign() -> io::Result<impl Future<Output = ()> + Send + 'static> {
    let (stop, mut stopped) = watch::channel(false);
    signals::told(move || {
        stop.send_replace(true);
    })?;
    Ok(async move {
        // The sender lives as long as the program.
        let _ = stopped.wait_for(|stopped| *stopped).await;
    })
}
