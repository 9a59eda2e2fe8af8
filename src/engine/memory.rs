//! What a conversation has read so far, given back after an answer and taken up by the next.
//!
//! A memory is a row of the cache, and the record of the columns that the row has read. Where the
//! oldest turns are forgotten the others move to the front: the row is of no use then, and the next
//! prefill reads the record instead.

use std::sync::Arc;

use crate::graph::{Features, KvCache};

/// A conversation's row of the cache, from its first question to where its last answer ended.
///
/// Ask the next question with it ([`crate::Request::memory`]) and the model reads that question
/// behind all before it. It takes 24 KiB a position at the published size. A clone shares the row.
#[derive(Clone)]
pub struct Memory {
    /// `None` where it must be read again. It may hold more than is remembered.
    row: Option<Arc<KvCache>>,
    turns: Vec<Kept>,
}

/// A turn, and how many of its columns are remembered.
#[derive(Clone)]
pub(crate) struct Kept {
    pub turn: Arc<Turn>,
    pub columns: usize,
}

/// The columns of a question and its answer.
pub(crate) struct Turn {
    /// [streams][columns]: the prompt without its mark.
    pub question: Vec<Vec<i64>>,
    /// Of a spoken question.
    pub features: Option<Features>,
    /// [columns × streams]: the mark, then the ids that were fed back.
    pub answer: Vec<i64>,
}

/// What a row reads while its answer is written, to become a [`Memory`].
pub(crate) struct Reading {
    before: Vec<Kept>,
    turn: Turn,
}

impl Memory {
    /// Positions read.
    pub fn position(&self) -> usize {
        self.turns.iter().map(|kept| kept.columns).sum()
    }

    /// Questions remembered.
    pub fn turns(&self) -> usize {
        self.turns.len()
    }

    /// Forgets all from `position` on, as when an answer was heard in part only. A later position
    /// changes nothing.
    pub fn truncate(&mut self, position: usize) {
        let mut left = position;
        for kept in &mut self.turns {
            kept.columns = kept.columns.min(left);
            left -= kept.columns;
        }
        self.turns.retain(|kept| kept.columns > 0);
    }

    /// Forgets all but the last `turns`. What is left is read again with the next question.
    pub fn keep_turns(&mut self, turns: usize) {
        let forgotten = self.turns.len().saturating_sub(turns);
        if forgotten > 0 {
            self.turns.drain(..forgotten);
            self.shrink();
        }
    }

    /// Lets the row go and keeps the record, a small part of it: for a conversation that rests. All
    /// of it is read again with the next question, which is answered as it would have been.
    pub fn shrink(&mut self) {
        self.row = None;
    }

    /// The row, which may be longer than [`Memory::position`].
    pub(crate) fn row(&self) -> Option<&KvCache> {
        self.row.as_deref()
    }

    /// The record of what it has read.
    pub(crate) fn record(&self) -> &[Kept] {
        &self.turns
    }
}

impl Reading {
    /// Begins behind `before` with a question.
    pub fn new(before: Vec<Kept>, question: Vec<Vec<i64>>, features: Option<Features>) -> Reading {
        let turn = Turn {
            question,
            features,
            answer: Vec::new(),
        };
        Reading { before, turn }
    }

    /// The row has read one more `column` [streams].
    pub fn push(&mut self, column: &[i64]) {
        self.turn.answer.extend(column);
    }

    /// The memory of `row`, which has read all of it.
    pub fn finish(self, row: KvCache) -> Memory {
        let columns = self.turn.columns();
        let mut turns = self.before;
        turns.push(Kept {
            turn: Arc::new(self.turn),
            columns,
        });
        Memory {
            row: Some(Arc::new(row)),
            turns,
        }
    }
}

impl Turn {
    fn columns(&self) -> usize {
        self.question[0].len() + self.answer.len() / self.question.len()
    }
}

impl std::fmt::Debug for Memory {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (positions, turns) = (self.position(), self.turns());
        write!(f, "Memory of {positions} positions, {turns} turns")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STREAMS: usize = 8;

    impl Memory {
        /// Turns of so many columns each, two of them the question's.
        pub(crate) fn of_columns(columns: &[usize]) -> Memory {
            let turns = columns.iter().map(|&columns| {
                let mut reading = Reading::new(Vec::new(), vec![vec![0; 2]; STREAMS], None);
                (2..columns).for_each(|_| reading.push(&[0; STREAMS]));
                Kept {
                    turn: Arc::new(reading.turn),
                    columns,
                }
            });
            Memory {
                row: None,
                turns: turns.collect(),
            }
        }
    }

    #[test]
    fn a_memory_is_cut_anywhere_and_forgets_the_turns_behind() {
        let all = Memory::of_columns(&[10, 7, 5]);
        assert_eq!((all.position(), all.turns()), (22, 3));
        for (at, turns) in [(30, 3), (22, 3), (18, 3), (17, 2), (11, 2), (10, 1), (0, 0)] {
            let mut cut = all.clone();
            cut.truncate(at);
            assert_eq!((cut.position(), cut.turns()), (at.min(22), turns));
        }
        assert_eq!(all.position(), 22, "a clone is its own");
    }

    #[test]
    fn the_oldest_turns_go_first() {
        let mut memory = Memory::of_columns(&[10, 7, 5]);
        memory.keep_turns(3);
        assert_eq!(memory.position(), 22);
        memory.keep_turns(2);
        assert_eq!((memory.position(), memory.turns()), (12, 2));
        memory.keep_turns(0);
        assert_eq!(memory.position(), 0);
    }

    #[test]
    fn a_turn_counts_the_columns_of_question_and_answer() {
        let mut reading = Reading::new(Vec::new(), vec![vec![0; 5]; STREAMS], None);
        (0..3).for_each(|_| reading.push(&[0; STREAMS]));
        assert_eq!(reading.turn.columns(), 8);
    }
}
