//! Probabilities to spans of speech, with hysteresis.
//!
//! Speech begins with a frame that is surely speech and goes on while frames may be. A pause ends
//! it only once it is long enough, so that a breath between two words does not.

use super::{FRAME, samples};

/// When speech begins and ends.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Rules {
    /// A frame of this probability begins speech.
    pub enter: f32,
    /// One below this probability is not speech.
    pub leave: f32,
    /// Frames that must be speech before it counts.
    pub min_speech: usize,
    /// Frames of no speech that end it.
    pub min_silence: usize,
    /// Samples before the first frame and behind the last that belong to it: a consonant is quieter
    /// than its vowel, and comes before the detector is sure.
    pub padding: usize,
}

impl Rules {
    /// For a whole clip: one sure frame is enough, since an answer that is refused is worse than
    /// one that was not asked for.
    pub fn clip() -> Rules {
        Rules {
            enter: 0.55,
            leave: 0.3,
            min_speech: 1,
            min_silence: frames(500),
            padding: samples(300),
        }
    }
}

/// Whole frames of a number of milliseconds.
fn frames(ms: usize) -> usize {
    samples(ms).div_ceil(FRAME)
}

/// What a frame changes, by the number of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Edge {
    /// Speech began with this frame.
    Start(usize),
    /// The first frame behind the speech.
    End(usize),
}

/// Follows the probabilities.
pub(super) struct Segments {
    rules: Rules,
    /// Frames it has seen.
    seen: usize,
    state: State,
}

#[derive(Clone, Copy)]
enum State {
    Silence,
    /// Speech since this frame, if it lasts.
    Perhaps(usize),
    Speech,
    /// Speech, with nothing since this frame.
    Pause(usize),
}

impl Segments {
    pub fn new(rules: Rules) -> Segments {
        Segments {
            rules,
            seen: 0,
            state: State::Silence,
        }
    }

    /// The next frame's probability; what it changes.
    pub fn push(&mut self, probability: f32) -> Option<Edge> {
        let Rules { enter, leave, .. } = self.rules;
        let frame = self.seen;
        self.seen += 1;
        self.state = match self.state {
            State::Silence if probability >= enter => State::Perhaps(frame),
            State::Perhaps(_) if probability < leave => State::Silence,
            State::Speech if probability < leave => State::Pause(frame),
            State::Pause(_) if probability >= enter => State::Speech,
            state => state,
        };
        self.settle()
    }

    /// The sound is over; whether that ends speech.
    pub fn finish(&mut self) -> Option<Edge> {
        let end = match self.state {
            State::Speech => Some(Edge::End(self.seen)),
            State::Pause(since) => Some(Edge::End(since)),
            State::Silence | State::Perhaps(_) => None,
        };
        self.state = State::Silence;
        end
    }

    /// Whether what began has lasted long enough to count.
    fn settle(&mut self) -> Option<Edge> {
        match self.state {
            State::Perhaps(since) if self.seen - since >= self.rules.min_speech => {
                self.state = State::Speech;
                Some(Edge::Start(since))
            }
            State::Pause(since) if self.seen - since >= self.rules.min_silence => {
                self.state = State::Silence;
                Some(Edge::End(since))
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(rules: Rules, probabilities: &[f32]) -> Vec<Edge> {
        let mut segments = Segments::new(rules);
        let mut edges: Vec<Edge> = probabilities
            .iter()
            .filter_map(|&p| segments.push(p))
            .collect();
        edges.extend(segments.finish());
        edges
    }

    const RULES: Rules = Rules {
        enter: 0.5,
        leave: 0.3,
        min_speech: 2,
        min_silence: 3,
        padding: 0,
    };

    #[test]
    fn speech_begins_when_it_is_sure_and_goes_on_while_it_may_be() {
        let probabilities = [0.1, 0.4, 0.6, 0.4, 0.4, 0.1, 0.1, 0.1, 0.9];
        let found = edges(RULES, &probabilities);
        assert_eq!(found, [Edge::Start(2), Edge::End(5)]);
    }

    #[test]
    fn a_pause_that_is_too_short_is_part_of_the_speech() {
        let probabilities = [0.9, 0.9, 0.1, 0.4, 0.9, 0.1, 0.1];
        let found = edges(RULES, &probabilities);
        assert_eq!(found, [Edge::Start(0), Edge::End(5)]);
        let long = [0.9, 0.9, 0.1, 0.4, 0.1, 0.9, 0.9];
        let ends = [Edge::Start(0), Edge::End(2), Edge::Start(5), Edge::End(7)];
        assert_eq!(edges(RULES, &long), ends);
    }

    #[test]
    fn speech_that_is_too_short_is_none() {
        assert_eq!(edges(RULES, &[0.9, 0.1, 0.9, 0.2, 0.9]), []);
        let one = Rules {
            min_speech: 1,
            ..RULES
        };
        assert_eq!(edges(one, &[0.2, 0.9]), [Edge::Start(1), Edge::End(2)]);
    }

    #[test]
    fn half_a_second_of_pause_is_sixteen_frames() {
        assert_eq!(Rules::clip().min_silence, 16);
    }
}
