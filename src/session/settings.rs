//! How a conversation goes.

use crate::ask::{Millis, Options, Question};
use crate::decoding::task::Task;
use crate::hearing::ListenerRules;
use crate::session::event::Latency;

/// Milliseconds of a pause behind which an answer may be begun: in 356 s of 75 recorded sentences 55
/// pauses last longer, and 31 longer than 160 ms.
const EARLIEST: Millis = 96.0;
/// Milliseconds behind the end of a turn within which an answer is in time.
const IN_TIME: Millis = 20.0;
/// Milliseconds by which answers are begun later while they are in time.
const STEP: Millis = 8.0;

/// How a conversation goes.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Settings {
    /// Hz of the sound that is pushed in.
    pub input_rate: u32,
    /// When a turn is over.
    pub turn_end: TurnEnd,
    /// Sound before the first speech that belongs to the turn.
    pub pre_roll: Millis,
    /// Probability from which sound is speech, 0 to 1.
    pub threshold: f32,
    /// Pause behind which an answer is prepared, unheard, in case the turn is over; `None`: never. Sooner,
    /// from 96 ms on, where the last answer would have come late.
    pub speculate: Option<Millis>,
    /// Speech that begins sooner than this behind the voice of a turn goes on with it, even if that
    /// turn is over: the model is asked both as one question. The answer between them ends, and neither
    /// it nor its question is remembered. `None`: never. It matters where turns end sooner, as by
    /// meaning. Not where speech must not interrupt an answer.
    pub goes_on: Option<Millis>,
    /// Whether a turn is answered by itself.
    pub answer: bool,
    /// Whether speech ends an answer that it is spoken into.
    pub interrupt: bool,
    /// Speech into an answer shorter than this does not interrupt it.
    pub least_interruption: Millis,
    /// Turns that the model remembers, the present one included. The published weights were trained on
    /// single turns, so the default is 1.
    pub turns: usize,
    /// How turns are answered.
    pub reply: Reply,
}

/// When a turn is over.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub enum TurnEnd {
    /// Behind a pause of this length.
    Pause(Millis),
    /// By meaning: sooner where the sentence sounds complete, later where it does not.
    Meaning {
        /// The longest pause that is waited for.
        longest: Millis,
    },
    /// By [`super::Session::commit`] alone, within a minute: that much sound is kept.
    ByHand,
}

/// How a question is answered.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Reply {
    /// Whether the answer is spoken, beside its text.
    pub spoken: bool,
    /// Whether the second, text-only row lends it words, where the task has one.
    pub batch: bool,
    /// All else; its `task` follows from the question and the above.
    pub options: Options,
}

impl Reply {
    /// The options for `question`, their task included.
    pub fn options_for(&self, question: &Question) -> Options {
        let mut options = self.options.clone();
        options.task = Task::answering(question.source(), self.spoken, self.batch);
        options
    }
}

impl Settings {
    /// The same for the ears; answers are begun behind a pause of `begins`, if that is known.
    pub(super) fn listener_rules(&self, begins: Option<Millis>) -> ListenerRules {
        let (pause, meaning) = match self.turn_end {
            TurnEnd::Pause(pause) => (Some(whole(pause)), None),
            TurnEnd::Meaning { longest } => (None, Some(whole(longest))),
            TurnEnd::ByHand => (None, None),
        };
        ListenerRules {
            threshold: self.threshold,
            pre_roll: whole(self.pre_roll),
            pause,
            meaning,
            speculate: self.speculate.map(|pause| whole(begins.unwrap_or(pause))),
            goes_on: self.goes_on.map(whole),
            least_interruption: whole(self.least_interruption),
        }
    }
}

impl Settings {
    /// The pause behind which the next answer is begun, where the last one was begun behind `pause`: so
    /// much sooner as it came late, and a little later where it was in time, since most pauses end no
    /// turn.
    pub(super) fn speculates(&self, pause: Option<Millis>, last: &Latency) -> Option<Millis> {
        let latest = self.speculate?;
        let (Some(late), true) = (last.turn_end, last.speculative) else {
            return pause;
        };
        let pause = pause.unwrap_or(latest);
        let next = match late > IN_TIME {
            true => pause - late,
            false => pause + STEP,
        };
        Some(next.clamp(EARLIEST.min(latest), latest))
    }
}

/// Whole milliseconds, at most the minute that the ears keep; none where `ms` is no number.
fn whole(ms: Millis) -> usize {
    ms.round().clamp(0.0, 60_000.0) as usize
}

impl Default for Reply {
    fn default() -> Reply {
        Reply {
            spoken: true,
            batch: false,
            options: Options::for_task(Task::A1A2),
        }
    }
}

impl Default for Settings {
    fn default() -> Settings {
        Settings {
            input_rate: 24_000,
            turn_end: TurnEnd::Pause(500.0),
            pre_roll: 300.0,
            threshold: 0.5,
            speculate: Some(160.0),
            goes_on: Some(500.0),
            answer: true,
            interrupt: true,
            least_interruption: 350.0,
            turns: 1,
            reply: Reply::default(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::event::AnswerId;

    fn came(late: Millis) -> Latency {
        Latency {
            answer: AnswerId(1),
            speech_end: Some(500.0 + late),
            turn_end: Some(late),
            request: 340.0 + late,
            speculative: true,
        }
    }

    #[test]
    fn an_answer_is_begun_as_late_as_it_can_be_and_as_soon_as_it_must() {
        let mut settings = Settings::default();
        for (begun, late, next) in [
            (None, 1.0, 160.0),
            (None, 40.0, 120.0),
            (Some(120.0), 0.0, 128.0),
            (Some(120.0), 900.0, 96.0),
            (Some(158.0), 0.0, 160.0),
        ] {
            assert_eq!(settings.speculates(begun, &came(late)), Some(next));
        }
        let unprepared = Latency {
            speculative: false,
            ..came(900.0)
        };
        assert_eq!(settings.speculates(Some(120.0), &unprepared), Some(120.0));
        settings.speculate = Some(50.0);
        let sooner = settings.speculates(None, &came(90.0));
        assert_eq!(sooner, Some(50.0), "as soon as it was asked for");
        settings.speculate = None;
        assert_eq!(settings.speculates(None, &came(90.0)), None);
    }
}
