//! The six things the model can be asked to do.
//!
//! They differ in five constants and in nothing else: where the question comes from, which marks
//! end each row of the prompt, which row lends the text, whether there is speech. One loop
//! (`generation`) serves them all. Source: `docs/model.md`, "Tasks".

/// What a prompt starts from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// Spoken question.
    Audio,
    /// Written question.
    Text,
}

/// The last column of a prompt row: what the row is asked to write.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mark {
    /// Answer in speech and text: (answer_a, answer_t).
    Speak,
    /// Answer in text: (pad_a, answer_t).
    Write,
    /// Transcribe: (pad_a, asr).
    Transcribe,
}

/// One of the model's tasks, a row of [`Task::ALL`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    name: &'static str,
    source: Source,
    /// One mark a batch row.
    pub(crate) marks: &'static [Mark],
    /// The batch row whose text head is read.
    pub(crate) text_row: usize,
    /// The batch row whose audio heads are read; `None` for a text-only task.
    pub(crate) audio_row: Option<usize>,
}

impl Task {
    /// Spoken question, spoken answer.
    pub const A1A2: Task = Task {
        name: "a1a2",
        source: Source::Audio,
        marks: &[Mark::Speak],
        text_row: 0,
        audio_row: Some(0),
    };
    /// Spoken question, written answer.
    pub const A1T2: Task = Task {
        name: "a1t2",
        source: Source::Audio,
        marks: &[Mark::Write],
        text_row: 0,
        audio_row: None,
    };
    /// Spoken question, its transcription.
    pub const A1T1: Task = Task {
        name: "a1t1",
        source: Source::Audio,
        marks: &[Mark::Transcribe],
        text_row: 0,
        audio_row: None,
    };
    /// Written question, spoken answer.
    pub const T1A2: Task = Task {
        name: "t1a2",
        source: Source::Text,
        marks: &[Mark::Speak],
        text_row: 0,
        audio_row: Some(0),
    };
    /// Written question, written answer.
    pub const T1T2: Task = Task {
        name: "t1t2",
        source: Source::Text,
        marks: &[Mark::Write],
        text_row: 0,
        audio_row: None,
    };
    /// Spoken question, spoken answer, with a second, text-only row that lends the better words
    /// (batch parallel decoding).
    pub const A1A2_BATCH: Task = Task {
        name: "a1a2-batch",
        source: Source::Audio,
        marks: &[Mark::Speak, Mark::Write],
        text_row: 1,
        audio_row: Some(0),
    };

    /// All tasks, in the order of the documentation.
    pub const ALL: [Task; 6] = [
        Task::A1A2_BATCH,
        Task::A1A2,
        Task::A1T2,
        Task::A1T1,
        Task::T1A2,
        Task::T1T2,
    ];

    /// The task of that name, if there is one.
    pub fn by_name(name: &str) -> Option<Task> {
        Task::ALL.into_iter().find(|task| task.name == name)
    }

    /// The default for a source: speech to speech with the text-only row, or text to speech.
    pub fn default_for(source: Source) -> Task {
        Task::answering(source, true, true)
    }

    /// The task that answers a question of a source: in speech and text or in text alone; with
    /// `batch` a text-only row lends a spoken answer its words, where there is such a task.
    pub fn answering(source: Source, spoken: bool, batch: bool) -> Task {
        match (source, spoken, batch) {
            (Source::Audio, true, true) => Task::A1A2_BATCH,
            (Source::Audio, true, false) => Task::A1A2,
            (Source::Audio, false, _) => Task::A1T2,
            (Source::Text, true, _) => Task::T1A2,
            (Source::Text, false, _) => Task::T1T2,
        }
    }

    /// Its name on the command line and in traces.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Where the question comes from.
    pub fn source(&self) -> Source {
        self.source
    }

    /// Whether the answer is spoken.
    pub fn speaks(&self) -> bool {
        self.audio_row.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_unique_and_found() {
        for task in Task::ALL {
            assert_eq!(Task::by_name(task.name), Some(task));
        }
        assert_eq!(Task::by_name("a2a1"), None);
    }

    #[test]
    fn rows_named_by_a_task_exist() {
        for task in Task::ALL {
            assert!(task.text_row < task.marks.len());
            assert!(task.audio_row.unwrap_or(0) < task.marks.len());
        }
    }
}
