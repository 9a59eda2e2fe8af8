//! What a conversation has read so far: one row of the cache, given back and taken up again.

use crate::graph::KvCache;

/// A conversation's row of the cache, from its first question to where its last answer ended.
///
/// Ask the next question with it ([`crate::Request::memory`]) and the model reads that question
/// behind all before it. It takes 24 KiB a position at the published size.
pub struct Memory(pub(crate) KvCache);

impl Memory {
    /// Positions read.
    pub fn position(&self) -> usize {
        self.0.length(0)
    }

    /// Forgets all from `position` on, as when an answer was heard in part only. A later position
    /// changes nothing.
    pub fn truncate(&mut self, position: usize) {
        self.0.truncate(0, position);
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Memory of {} positions", self.position())
    }
}
