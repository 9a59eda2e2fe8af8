//! What can go wrong, as sentences for the person in front of the screen.
//!
//! Every message says what was found, what was expected and, where there is one, the command or
//! flag that makes it right. The library returns these; the binary prints them and exits with 2.

use std::path::PathBuf;

/// The result of everything in this library that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. `Display` is a whole sentence.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The ONNX Runtime library could not be found or loaded.
    #[error("{0}")]
    Runtime(String),
    /// A provider was asked for that this binary or this ONNX Runtime does not have.
    #[error("{0}")]
    Provider(String),
    /// The model folder is incomplete, damaged or of another format.
    #[error("{0}")]
    Model(String),
    /// The question cannot be answered: wrong task, too long, empty.
    #[error("{0}")]
    Input(String),
    /// The audio could not be read.
    #[error(transparent)]
    Audio(#[from] crate::audio::AudioError),
    /// ONNX Runtime refused to run a graph.
    #[error("the {graph} graph failed: {source}")]
    Graph {
        /// Which graph of the model folder.
        graph: &'static str,
        /// What ONNX Runtime said.
        source: ort::Error,
    },
    /// A file could not be read or written.
    #[error("cannot {action} {path}: {source}")]
    File {
        /// "read" or "write".
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The receiver of the answer stopped taking it, or its writer writing it.
    #[error("the answer could not be delivered: {0}")]
    Sink(String),
    /// A step that many answers took together failed.
    #[error("{0}")]
    Step(String),
}

impl Error {
    /// The same sentence, for another of the answers it concerns.
    pub(crate) fn again(&self) -> Error {
        Error::Step(self.to_string())
    }

    /// Turns a system error on `path` into a sentence.
    pub fn file(
        action: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Error::File {
            action,
            path,
            source,
        }
    }
}
