//! Names of things that are made here.

use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::{SystemTime, UNIX_EPOCH};

/// A name that no other thing of this server has: `chatcmpl-18a3f2c4d5e6f70800000001`. Names of two
/// runs of the server differ by the time it started.
pub fn id(prefix: &str) -> String {
    static START: LazyLock<u64> = LazyLock::new(|| now().as_nanos() as u64);
    static NEXT: AtomicU64 = AtomicU64::new(1);
    format!("{prefix}{:016x}{:08x}", *START, NEXT.fetch_add(1, Relaxed))
}

/// Seconds since 1970.
pub fn unix_time() -> u64 {
    now().as_secs()
}

fn now() -> std::time::Duration {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default()
}
