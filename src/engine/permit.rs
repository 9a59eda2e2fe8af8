//! How many answers are under way at once.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// One of the answers a scheduler takes at once; free again when dropped.
#[derive(Debug)]
pub(crate) struct Permit {
    taken: Arc<AtomicUsize>,
}

impl Permit {
    /// One of `most`, of which `taken` are; `None` if none is free.
    pub fn take(taken: &Arc<AtomicUsize>, most: usize) -> Option<Permit> {
        let one_more = |n| (n < most).then_some(n + 1);
        taken
            .fetch_update(Ordering::AcqRel, Ordering::Acquire, one_more)
            .ok()?;
        Some(Permit {
            taken: taken.clone(),
        })
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        self.taken.fetch_sub(1, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_are_counted_and_freed() {
        let taken = Arc::new(AtomicUsize::new(0));
        let first = Permit::take(&taken, 2).expect("a permit");
        let second = Permit::take(&taken, 2).expect("a permit");
        assert!(Permit::take(&taken, 2).is_none());
        drop(first);
        assert_eq!(taken.load(Ordering::Acquire), 1);
        drop(second);
        assert_eq!(taken.load(Ordering::Acquire), 0);
    }
}
