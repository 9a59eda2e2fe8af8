//! What a conversation tells its owner.

use crate::ask::Millis;
use crate::audio::Pcm;
use crate::error::Error;
use crate::trace::Trace;

/// A turn of the person, in the order they came.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TurnId(pub u64);

/// An answer, in the order they were asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AnswerId(pub u64);

/// What happens in a conversation. Times `at` are milliseconds of sound since its first sample.
#[derive(Debug)]
#[non_exhaustive]
pub enum Event {
    /// The person has begun to speak; `at` includes the pre-roll.
    SpeechStarted {
        /// The turn that began.
        turn: TurnId,
        /// Where.
        at: Millis,
    },
    /// The turn is over.
    SpeechStopped {
        /// The turn that ended.
        turn: TurnId,
        /// Where its sound is cut.
        at: Millis,
        /// The sound of the turn, at 16 kHz, pre-roll included.
        question: Pcm,
    },
    /// An answer begins: asked for by hand, or by itself behind a turn. Then it is told with the first
    /// that there is of it, or with its end where the person speaks on before; not at all where the
    /// turn holds no speech.
    AnswerStarted {
        /// The answer.
        answer: AnswerId,
        /// The turn it answers, if it began by itself.
        turn: Option<TurnId>,
    },
    /// Whole characters of an answer.
    Text {
        /// The answer.
        answer: AnswerId,
        /// Its next characters.
        text: String,
    },
    /// Sound of an answer: mono, at the codec's rate.
    Audio {
        /// The answer.
        answer: AnswerId,
        /// Its next samples.
        samples: Vec<f32>,
    },
    /// The answer's last event; nothing of it follows.
    AnswerEnded {
        /// The answer.
        answer: AnswerId,
        /// How.
        end: AnswerEnd,
    },
    /// Somebody may be speaking into the answer: the player falls silent where it is.
    Hold,
    /// It was a murmur or a noise: the player goes on from where it was.
    Resume,
    /// The person speaks into the answer. It was heard up to here: the player drops the rest. If it
    /// was still being written, its [`Event::AnswerEnded`] follows.
    Interrupted {
        /// The answer.
        answer: AnswerId,
        /// Samples of its sound that were heard.
        samples: u64,
        /// Its text as far as it was heard, about.
        text: String,
    },
    /// The first sound of an answer was handed over.
    Latency(Latency),
}

/// How an answer ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum AnswerEnd {
    /// It is complete, or came to its limit: the trace says which.
    Done(Box<Trace>),
    /// The person spoke into it.
    Interrupted(Box<Trace>),
    /// It was cancelled by hand.
    Cancelled(Box<Trace>),
    /// It could not be written, or not to its end.
    Failed(Error),
}

/// Milliseconds to the first sample of an answer that was handed to the player.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Latency {
    /// The answer.
    pub answer: AnswerId,
    /// Since the person fell silent; `None` if the question was asked by hand.
    pub speech_end: Option<Millis>,
    /// Since it was certain that the turn is over; `None` if the question was asked by hand.
    pub turn_end: Option<Millis>,
    /// Since the model was asked.
    pub request: Millis,
    /// Whether the answer was begun before the turn was certain.
    pub speculative: bool,
}
