//! Names of sessions, items, answers and events.

use std::hash::{BuildHasher, RandomState};

/// Makes names that no other conversation has. They are no secrets.
#[derive(Debug)]
pub struct Ids {
    conversation: u64,
    made: u64,
}

impl Ids {
    /// The names of a new conversation.
    pub fn new() -> Ids {
        Ids {
            // The hasher is seeded at random.
            conversation: RandomState::new().hash_one(0),
            made: 0,
        }
    }

    /// The next name of a kind, such as `item_4f…`.
    pub fn next(&mut self, kind: &str) -> String {
        self.made += 1;
        format!("{kind}_{:016x}{:04x}", self.conversation, self.made)
    }
}
