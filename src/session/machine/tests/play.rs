//! A machine that is driven by a script, and what it says in short.

use std::ops::Range;
use std::time::{Duration, Instant};

use crate::ask;
use crate::decoding::generation::Ended;
use crate::error::{Error, ErrorKind, Result};
use crate::hearing::Heard;
use crate::session::event::{AnswerEnd, Event};
use crate::session::machine::{Machine, Moment, Order, Rules, RunId};
use crate::session::settings::Reply;
use crate::trace::Trace;

pub const RATE: u32 = 24_000;
/// Samples of a frame of sound.
pub const FRAME: usize = 2048;

/// A machine, its clock in milliseconds, and all it has said.
pub struct Play {
    pub machine: Machine,
    pub start: Instant,
    pub ms: u64,
    /// Where the turn under way began.
    pub speech: u64,
    pub told: Vec<Event>,
    pub orders: Vec<Order>,
    /// The last question that the scheduler was asked.
    pub asked: Option<RunId>,
}

impl Play {
    pub fn new() -> Play {
        Play::with(|_| ())
    }

    pub fn with(change: impl FnOnce(&mut Rules)) -> Play {
        let mut rules = Rules {
            answer: true,
            interrupt: true,
            reply: Reply::default(),
            codec_rate: RATE,
            streams: 8,
            longest: 30 * 16_000,
        };
        change(&mut rules);
        Play {
            machine: Machine::new(rules),
            start: Instant::now(),
            ms: 0,
            speech: 0,
            told: Vec::new(),
            orders: Vec::new(),
            asked: None,
        }
    }

    pub fn now(&self) -> Instant {
        self.start + Duration::from_millis(self.ms)
    }

    pub fn hear(&mut self, heard: Heard) -> &mut Play {
        let sound = |span: Range<u64>| vec![0.1; (span.end - span.start) as usize];
        let moment = Moment {
            now: self.now(),
            position: self.ms * 16,
            sound: &sound,
        };
        self.machine.heard(heard, &moment);
        self.take()
    }

    pub fn start(&mut self) -> &mut Play {
        let at = self.ms * 16;
        self.hear(Heard::Start { at, from: at })
    }

    /// Somebody speaks into the answer.
    pub fn interrupt(&mut self, at: u64) -> &mut Play {
        self.hear(Heard::Interruption { at, from: at })
    }

    /// A turn that begins at `at` and goes on with the one before.
    pub fn goes_on(&mut self, at: u64) -> &mut Play {
        self.speech = at;
        self.hear(Heard::Start { at, from: 0 })
    }

    pub fn pause(&mut self) -> &mut Play {
        self.hear(Heard::Pause { speech: 0..1600 })
    }

    pub fn end(&mut self) -> &mut Play {
        let silent_since = (self.ms * 16).saturating_sub(8000);
        self.hear(Heard::End {
            speech: self.speech..self.speech + 3200,
            silent_since,
        })
    }

    /// The scheduler's answer to the last question says something.
    pub fn say(&mut self, event: ask::Event) -> &mut Play {
        let run = self.asked();
        self.machine.event(run, event);
        self.take()
    }

    pub fn text(&mut self, text: &str) -> &mut Play {
        self.say(ask::Event::Text(text.into()))
    }

    pub fn audio(&mut self, frames: usize) -> &mut Play {
        self.say(ask::Event::Audio(vec![0.0; frames * FRAME]))
    }

    pub fn done(&mut self) -> &mut Play {
        self.ends(Ok(trace(Ended::Eoa)))
    }

    pub fn ends(&mut self, end: Result<Box<Trace>>) -> &mut Play {
        let run = self.asked();
        self.machine.ended(run, end, self.now());
        self.take()
    }

    pub fn after(&mut self, ms: u64) -> &mut Play {
        self.ms += ms;
        self
    }

    pub fn asked(&self) -> RunId {
        self.asked.expect("a question")
    }

    pub fn take(&mut self) -> &mut Play {
        let now = self.now();
        while let Some(order) = self.machine.next_order() {
            if let Order::Ask { run, .. } = &order {
                self.asked = Some(*run);
            }
            self.orders.push(order);
        }
        while let Some(event) = self.machine.next_event(now) {
            self.told.push(event);
        }
        self
    }

    /// What was told since the last look, in short.
    pub fn told(&mut self) -> String {
        let told: Vec<_> = self.told.drain(..).map(|event| short(&event)).collect();
        told.join(" ")
    }

    pub fn ordered(&mut self) -> String {
        let short = |order| match order {
            Order::Ask { run, held, .. } => {
                format!("{}{}", if held { "hold" } else { "ask" }, run.0)
            }
            Order::Release(run) => format!("release{}", run.0),
            Order::Cancel(run) => format!("cancel{}", run.0),
            Order::Cut { answer, samples } => format!("cut{}:{samples}", answer.0),
            Order::Forget(answer) => format!("forget{}", answer.0),
        };
        let orders = std::mem::take(&mut self.orders);
        orders.into_iter().map(short).collect::<Vec<_>>().join(" ")
    }
}

fn short(event: &Event) -> String {
    let end = |end: &AnswerEnd| match end {
        AnswerEnd::Done(_) => "done",
        AnswerEnd::Interrupted(_) => "interrupted",
        AnswerEnd::Cancelled(_) => "cancelled",
        AnswerEnd::Failed(_) => "failed",
    };
    match event {
        Event::SpeechStarted { turn, .. } => format!("start{}", turn.0),
        Event::SpeechStopped { turn, .. } => format!("stop{}", turn.0),
        Event::AnswerStarted { answer, turn } => {
            format!(
                "answer{}{}",
                answer.0,
                turn.map_or(String::new(), |t| format!("to{}", t.0))
            )
        }
        Event::Text { text, .. } => format!("{text:?}"),
        Event::Audio { samples, .. } => format!("sound{}", samples.len()),
        Event::AnswerEnded { answer, end: how } => format!("{}{}", end(how), answer.0),
        Event::Hold => "hold".into(),
        Event::Resume => "resume".into(),
        Event::Interrupted {
            answer,
            samples,
            text,
        } => {
            format!("cut{}:{samples}:{text:?}", answer.0)
        }
        Event::Latency(_) => "latency".into(),
    }
}

pub fn trace(ended: Ended) -> Box<Trace> {
    let mut trace = Trace::new("a1a2", 9, 8);
    trace.ended = ended;
    Box::new(trace)
}

pub fn failure(kind: ErrorKind) -> Result<Box<Trace>> {
    Err(Error::new(kind, "as a test"))
}
