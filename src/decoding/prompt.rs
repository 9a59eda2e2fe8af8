//! From a question to the ids the decoder reads.
//!
//! A prompt is 8 streams: seven of audio ids, one of text. All rows of a batch share every column
//! but the last, the mark; so the shared columns are read once and the cache is forked.
//! Layout: audio `input, pad × F, eoa, mark` over `input, pad × F, eot, mark`; text
//! `pad × (n + 2), mark` over `input, ids…, eot, mark`.

use super::task::{Mark, Source, Task};
use crate::model::manifest::SpecialIds;

/// The ids of one question.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prompt {
    /// [streams][columns]: what all rows share, everything before the mark.
    pub shared: Vec<Vec<i64>>,
    /// [rows][streams]: the last column of each row.
    pub marks: Vec<Vec<i64>>,
    /// Columns (of the shared part) that audio features replace, from the first on; 0 for text.
    pub n_features: usize,
}

/// The column at which audio features start, right after `input`.
pub const FEATURES_START: usize = 1;

impl Prompt {
    /// The prompt for `n_features` audio features.
    pub fn from_audio(task: &Task, ids: &SpecialIds, n_features: usize) -> Prompt {
        debug_assert_eq!(task.source(), Source::Audio);
        let stream = |input, pad, end| {
            let mut column = vec![input];
            column.extend(std::iter::repeat_n(pad, n_features));
            column.push(end);
            column
        };
        let mut shared = vec![stream(ids.input_a, ids.pad_a, ids.eoa); ids.audio_streams];
        shared.push(stream(ids.input_t, ids.pad_t, ids.eot));
        Prompt {
            shared,
            marks: marks(task, ids),
            n_features,
        }
    }

    /// The prompt for a written question.
    pub fn from_text(task: &Task, ids: &SpecialIds, text_ids: &[i64]) -> Prompt {
        debug_assert_eq!(task.source(), Source::Text);
        let mut shared = vec![vec![ids.pad_a; text_ids.len() + 2]; ids.audio_streams];
        let mut text = vec![ids.input_t];
        text.extend_from_slice(text_ids);
        text.push(ids.eot);
        shared.push(text);
        Prompt {
            shared,
            marks: marks(task, ids),
            n_features: 0,
        }
    }

    /// Columns in all, the mark included.
    pub fn columns(&self) -> usize {
        self.shared[0].len() + 1
    }
}

fn marks(task: &Task, ids: &SpecialIds) -> Vec<Vec<i64>> {
    task.marks
        .iter()
        .map(|mark| {
            let (audio, text) = match mark {
                Mark::Speak => (ids.answer_a, ids.answer_t),
                Mark::Write => (ids.pad_a, ids.answer_t),
                Mark::Transcribe => (ids.pad_a, ids.asr),
            };
            let mut column = vec![audio; ids.audio_streams];
            column.push(text);
            column
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> SpecialIds {
        SpecialIds {
            audio_streams: 7,
            text_vocab_size: 152_000,
            audio_vocab_size: 4160,
            eot: 151_936,
            pad_t: 151_937,
            input_t: 151_938,
            answer_t: 151_939,
            asr: 151_940,
            eoa: 4096,
            pad_a: 4097,
            input_a: 4098,
            answer_a: 4099,
            split: 4100,
        }
    }

    #[test]
    fn an_audio_prompt_is_input_pads_end_and_mark() {
        let prompt = Prompt::from_audio(&Task::A1A2_BATCH, &ids(), 2);
        assert_eq!(prompt.columns(), 5);
        assert_eq!(prompt.shared[0], [4098, 4097, 4097, 4096]);
        assert_eq!(prompt.shared[7], [151_938, 151_937, 151_937, 151_936]);
        assert_eq!(
            prompt.marks[0],
            [4099, 4099, 4099, 4099, 4099, 4099, 4099, 151_939]
        );
        assert_eq!(
            prompt.marks[1],
            [4097, 4097, 4097, 4097, 4097, 4097, 4097, 151_939]
        );
    }

    #[test]
    fn a_text_prompt_has_no_audio() {
        let prompt = Prompt::from_text(&Task::T1T2, &ids(), &[9707, 11]);
        assert_eq!(prompt.columns(), 5);
        assert_eq!(prompt.shared[3], [4097; 4]);
        assert_eq!(prompt.shared[7], [151_938, 9707, 11, 151_936]);
        assert_eq!(prompt.n_features, 0);
    }

    #[test]
    fn transcription_has_its_own_mark() {
        let prompt = Prompt::from_audio(&Task::A1T1, &ids(), 1);
        assert_eq!(
            prompt.marks,
            [[4097, 4097, 4097, 4097, 4097, 4097, 4097, 151_940]]
        );
    }
}
