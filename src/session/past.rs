//! What a conversation remembers: earlier turns, the last answer as far as it was heard.

use super::event::AnswerId;
use crate::ask::{Options, Question};
use crate::decoding::generation::Ended;
use crate::engine::Memory;
use crate::model::manifest::Manifest;

/// Sizes of the model that memory is measured by.
#[derive(Debug, Clone)]
struct Dims {
    max_length: usize,
    /// Samples of a frame.
    frame: u64,
    /// Steps by which a frame's last id follows its first.
    delay: usize,
    feature_ms: usize,
}

/// An answer, and where it is in the memory.
#[derive(Debug, Clone, Copy)]
struct Last {
    answer: AnswerId,
    /// Position that its question was read behind.
    asked_at: usize,
    /// Position of its first step's ids.
    start: usize,
}

/// The memory of a conversation.
pub(super) struct Past {
    dims: Dims,
    /// Turns that are remembered, the present one included.
    turns: usize,
    memory: Option<Memory>,
    /// Positions that the question under way was read behind.
    asked_at: usize,
    /// The last answer in the memory.
    last: Option<Last>,
    /// An answer that is to be no part of the memory.
    forgotten: Option<AnswerId>,
    /// How much was heard of the last answer, or of one that has not ended, if not all.
    cuts: Vec<(AnswerId, u64)>,
}

impl Past {
    pub fn new(manifest: &Manifest, turns: usize) -> Past {
        Past {
            dims: Dims {
                max_length: manifest.decoder.max_length,
                frame: manifest.codec.samples_per_frame as u64,
                delay: manifest.delays.iter().max().copied().unwrap_or(0),
                feature_ms: manifest.mel.feature_ms,
            },
            turns,
            memory: None,
            asked_at: 0,
            last: None,
            forgotten: None,
            cuts: Vec::new(),
        }
    }

    /// Remembers so many turns from now on.
    pub fn set_turns(&mut self, turns: usize) {
        self.turns = turns;
    }

    /// Whether an answer's memory is to be kept.
    pub fn is_kept(&self) -> bool {
        self.turns > 1
    }

    /// What `question` is read behind. The oldest turns go where there are too many, or where no room
    /// would be left for the question and an answer.
    pub fn before(&mut self, question: &Question, options: &Options) -> Option<Memory> {
        self.asked_at = 0;
        let needed = self.dims.columns(question) + self.dims.room(options);
        let mut memory = self.memory.take()?;
        memory.keep_turns(self.turns.saturating_sub(1));
        while memory.turns() > 0 && memory.position() + needed > self.dims.max_length {
            memory.keep_turns(memory.turns() - 1);
        }
        self.asked_at = memory.position();
        self.memory = (memory.turns() > 0).then_some(memory);
        self.memory.clone()
    }

    /// Takes in what an answer left behind. One to which there was nothing to say leaves nothing.
    pub fn remember(
        &mut self,
        answer: AnswerId,
        (ended, prompt_length): (Ended, usize),
        memory: Memory,
    ) {
        if ended == Ended::NoSpeech {
            return;
        }
        self.memory = Some(memory);
        self.last = Some(Last {
            answer,
            asked_at: self.asked_at,
            start: self.asked_at + prompt_length,
        });
        self.forget_unheard();
    }

    /// Neither `answer` nor its question was said.
    pub fn forget(&mut self, answer: AnswerId) {
        self.forgotten = Some(answer);
        self.forget_unheard();
    }

    /// Of `answer` so many samples were heard.
    pub fn cut(&mut self, answer: AnswerId, samples: u64) {
        let last = self.last.map_or(AnswerId(0), |last| last.answer);
        self.cuts.retain(|&(of, _)| of >= last && of != answer);
        self.cuts.push((answer, samples));
        self.forget_unheard();
    }

    /// Positions that are remembered.
    pub fn position(&self) -> usize {
        self.memory.as_ref().map_or(0, Memory::position)
    }

    fn forget_unheard(&mut self) {
        let (Some(last), Some(memory)) = (self.last, &mut self.memory) else {
            return;
        };
        let cut = self.cuts.iter().find(|(of, _)| *of == last.answer);
        match cut {
            _ if self.forgotten == Some(last.answer) => memory.truncate(last.asked_at),
            Some(&(_, samples)) => memory.truncate(self.dims.heard(last.start, samples)),
            None => {}
        }
    }
}

impl Dims {
    /// Positions of an answer whose first step's ids are read at `start` when `samples` of it were
    /// heard: up to the step that completes the frame of the last of them. A question whose answer was
    /// not heard at all is remembered without its mark.
    fn heard(&self, start: usize, samples: u64) -> usize {
        match samples.div_ceil(self.frame.max(1)) as usize {
            0 => start.saturating_sub(1),
            frames => start + frames + self.delay,
        }
    }

    /// Columns of a question's prompt, or a few more.
    fn columns(&self, question: &Question) -> usize {
        let around = 4; // input, the question's end and the mark; a feature that is not whole
        around
            + match question {
                Question::Audio(pcm) => (pcm.seconds() * 1000.0) as usize / self.feature_ms.max(1),
                // An id stands for a byte or more.
                Question::Text(text) => text.len(),
            }
    }

    /// Positions that an answer should have: a quarter of the model's, 43 s of speech where they are
    /// 2048.
    fn room(&self, options: &Options) -> usize {
        let quarter = self.max_length / 4;
        options
            .max_steps
            .map_or(quarter, |steps| steps.min(quarter))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DIMS: Dims = Dims {
        max_length: 2048,
        frame: 2048,
        delay: 7,
        feature_ms: 20,
    };

    #[test]
    fn an_answer_is_remembered_to_the_step_of_the_last_heard_frame() {
        // Frame 0 takes its ids from steps 1 to 7, whose ids are read at 101 to 107.
        assert_eq!(DIMS.heard(100, 1), 108);
        assert_eq!(DIMS.heard(100, 2048), 108);
        assert_eq!(DIMS.heard(100, 2049), 109);
        assert_eq!(DIMS.heard(100, 0), 99, "neither the answer nor its mark");
    }

    #[test]
    fn an_answer_that_is_forgotten_leaves_what_was_before_its_question() {
        let mut past = Past {
            dims: DIMS,
            turns: 3,
            memory: None,
            asked_at: 0,
            last: None,
            forgotten: None,
            cuts: Vec::new(),
        };
        past.remember(AnswerId(1), (Ended::Eoa, 4), Memory::of_columns(&[10]));
        past.asked_at = 10;
        past.forget(AnswerId(2)); // perhaps before it has ended
        past.remember(AnswerId(2), (Ended::Eoa, 4), Memory::of_columns(&[10, 20]));
        assert_eq!(past.position(), 10);
        past.cut(AnswerId(2), 1);
        assert_eq!(past.position(), 10, "whatever was heard of it");
        past.remember(AnswerId(3), (Ended::Eoa, 4), Memory::of_columns(&[10, 30]));
        assert_eq!(past.position(), 40);
        past.forget(AnswerId(3));
        assert_eq!(past.position(), 10, "or behind its end");
    }

    #[test]
    fn a_question_takes_a_column_a_feature_or_at_most_a_byte() {
        let pcm = crate::audio::Pcm::new(vec![0.0; 16_000], 16_000).expect("sound");
        assert_eq!(DIMS.columns(&Question::Audio(pcm)), 54);
        assert_eq!(DIMS.columns(&Question::Text("Why?".into())), 8);
    }
}
