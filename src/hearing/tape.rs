//! The sound that was heard lately, by position.

use std::collections::VecDeque;
use std::ops::Range;

/// Keeps the end of a sound. Positions are samples since its first.
pub(super) struct Tape {
    kept: VecDeque<f32>,
    /// Position of the first kept sample.
    start: u64,
    /// Most samples that are kept.
    most: usize,
}

impl Tape {
    pub fn new(most: usize) -> Tape {
        Tape {
            kept: VecDeque::new(),
            start: 0,
            most,
        }
    }

    /// Position behind the last sample.
    pub fn end(&self) -> u64 {
        self.start + self.kept.len() as u64
    }

    pub fn push(&mut self, samples: &[f32]) {
        self.kept.extend(samples);
        let over = self.kept.len().saturating_sub(self.most);
        self.kept.drain(..over);
        self.start += over as u64;
    }

    #[allow(dead_code)] // the echo canceller comes next
    /// Puts `samples` in the place of those from `at` on, as far as they are kept.
    pub fn replace(&mut self, at: u64, samples: &[f32]) {
        for (position, &sample) in (at..).zip(samples) {
            let index = position.checked_sub(self.start);
            if let Some(kept) = index.and_then(|index| self.kept.get_mut(index as usize)) {
                *kept = sample;
            }
        }
    }

    /// The sound of `span`, as far as it is kept.
    pub fn sound(&self, span: Range<u64>) -> Vec<f32> {
        let index = |at: u64| at.clamp(self.start, self.end()) - self.start;
        let (from, to) = (index(span.start), index(span.end));
        self.kept
            .range(from as usize..to.max(from) as usize)
            .copied()
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_of_a_sound_is_kept() {
        let mut tape = Tape::new(4);
        tape.push(&[0.0, 1.0, 2.0]);
        assert_eq!(tape.sound(1..9), [1.0, 2.0]);
        tape.push(&[3.0, 4.0, 5.0]);
        assert_eq!((tape.start, tape.end()), (2, 6));
        assert_eq!(tape.sound(0..4), [2.0, 3.0]);
        assert!(tape.sound(7..9).is_empty());
        tape.replace(1, &[-1.0, -2.0, -3.0]);
        assert_eq!(tape.sound(0..9), [-2.0, -3.0, 4.0, 5.0]);
    }
}
