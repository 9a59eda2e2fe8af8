//! What can go wrong, as sentences for the person in front of the screen.
//!
//! A sentence says what was found, what was expected and, where there is one, the remedy. What a
//! program decides by is the [`ErrorKind`]; it never has to read the sentence.

use std::error::Error as StdError;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// The result of everything in this library that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What kind of thing went wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// The ONNX Runtime library could not be found or loaded.
    Runtime,
    /// A provider was asked for that this build or this ONNX Runtime does not have.
    Provider,
    /// Kernels were asked for whose instructions this processor does not have.
    Kernels,
    /// The model folder is incomplete, damaged or of another format.
    Model,
    /// The task answers spoken questions and the question is written.
    NeedsAudio,
    /// The task answers written questions and the question is spoken.
    NeedsText,
    /// The written question has no words.
    NoWords,
    /// The question is longer than the model can take.
    TooLong,
    /// Sound could not be read, or is none.
    Audio,
    /// A label that answers are to be held against cannot be used.
    Label,
    /// Two models whose ids do not mean the same were to be compared.
    NotComparable,
    /// As many answers are under way as the scheduler takes; ask again later.
    Busy,
    /// The scheduler's threads have ended, or one of them died.
    Stopped,
    /// ONNX Runtime failed to run a graph.
    Graph,
    /// A file could not be read.
    File,
}

/// What went wrong. `Display` is a whole sentence.
#[derive(Debug, Clone)]
pub struct Error {
    kind: ErrorKind,
    sentence: String,
    /// Shared, since one failed step ends several answers.
    source: Option<Arc<dyn StdError + Send + Sync>>,
}

impl Error {
    /// An error whose sentence says all.
    pub(crate) fn new(kind: ErrorKind, sentence: impl Into<String>) -> Error {
        Error {
            kind,
            sentence: sentence.into(),
            source: None,
        }
    }

    /// The same with what caused it.
    pub(crate) fn caused_by(mut self, source: impl StdError + Send + Sync + 'static) -> Error {
        self.source = Some(Arc::new(source));
        self
    }

    /// Turns a system error on reading `path` into a sentence.
    pub(crate) fn unreadable(path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Error {
        let path = path.into();
        move |source| {
            let sentence = format!("cannot read {}: {source}", path.display());
            Error::new(ErrorKind::File, sentence).caused_by(source)
        }
    }

    /// What kind of thing went wrong.
    pub fn kind(&self) -> ErrorKind {
        self.kind
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.sentence)
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.source
            .as_ref()
            .map(|source| &**source as &(dyn StdError + 'static))
    }
}
