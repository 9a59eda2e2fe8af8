//! When a turn is over, in the words of the protocol.

use mini_omni::session::{Settings, TurnEnd};
use serde::{Deserialize, Serialize};

use crate::serve::realtime::client::{Refusal, refusal};

/// Milliseconds of a pause, at most.
const LONGEST_PAUSE: u32 = 10_000;

/// When a turn is over, and what follows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum TurnDetection {
    /// Behind a pause.
    ServerVad {
        #[serde(default = "threshold")]
        threshold: f32,
        #[serde(default = "prefix_padding")]
        prefix_padding_ms: u32,
        #[serde(default = "silence_duration")]
        silence_duration_ms: u32,
        #[serde(default)]
        idle_timeout_ms: Option<u32>,
        #[serde(default = "yes")]
        create_response: bool,
        #[serde(default = "yes")]
        interrupt_response: bool,
    },
    /// By meaning.
    SemanticVad {
        #[serde(default)]
        eagerness: Eagerness,
        #[serde(default = "yes")]
        create_response: bool,
        #[serde(default = "yes")]
        interrupt_response: bool,
    },
}

/// How soon a turn that sounds unfinished is taken to be over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Eagerness {
    Low,
    Medium,
    High,
    #[default]
    Auto,
}

impl Eagerness {
    /// The longest pause that is waited for, ms.
    fn longest(self) -> f64 {
        match self {
            Eagerness::Low => 8_000.0,
            Eagerness::Medium | Eagerness::Auto => 4_000.0,
            Eagerness::High => 2_000.0,
        }
    }
}

fn threshold() -> f32 {
    0.5
}

fn prefix_padding() -> u32 {
    300
}

fn silence_duration() -> u32 {
    500
}

fn yes() -> bool {
    true
}

impl Default for TurnDetection {
    fn default() -> TurnDetection {
        TurnDetection::ServerVad {
            threshold: threshold(),
            prefix_padding_ms: prefix_padding(),
            silence_duration_ms: silence_duration(),
            idle_timeout_ms: None,
            create_response: true,
            interrupt_response: true,
        }
    }
}

impl TurnDetection {
    /// Refuses numbers that mean nothing.
    pub fn check(&self) -> Result<(), Refusal> {
        let TurnDetection::ServerVad {
            threshold,
            prefix_padding_ms,
            silence_duration_ms,
            ..
        } = self
        else {
            return Ok(());
        };
        if !(0.0..=1.0).contains(threshold) {
            return Err(refusal(
                "invalid_value",
                format!("a threshold is between 0 and 1, not {threshold}"),
            ));
        }
        if *prefix_padding_ms > LONGEST_PAUSE || *silence_duration_ms > LONGEST_PAUSE {
            return Err(refusal(
                "invalid_value",
                "prefix_padding_ms and silence_duration_ms are at most 10000",
            ));
        }
        Ok(())
    }

    /// The same in the library's words.
    pub fn apply(&self, settings: &mut Settings) {
        match *self {
            TurnDetection::ServerVad {
                threshold,
                prefix_padding_ms,
                silence_duration_ms,
                create_response,
                interrupt_response,
                ..
            } => {
                settings.threshold = threshold;
                settings.pre_roll = prefix_padding_ms.into();
                settings.turn_end = TurnEnd::Pause(silence_duration_ms.into());
                settings.answer = create_response;
                settings.interrupt = interrupt_response;
            }
            TurnDetection::SemanticVad {
                eagerness,
                create_response,
                interrupt_response,
            } => {
                settings.turn_end = TurnEnd::Meaning {
                    longest: eagerness.longest(),
                };
                settings.answer = create_response;
                settings.interrupt = interrupt_response;
            }
        }
    }
}
