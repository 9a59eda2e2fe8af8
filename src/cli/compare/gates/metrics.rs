//! The figures of a comparison that a gate can hold.

use mini_omni::compare::{Spread, Stage, StreamFigures};

use super::Bound;
use crate::cli::compare::report::Report;

/// A figure, on which side of its limit it has to be, and the least slack of a calibrated limit: what
/// another processor's rounding may come to.
pub struct Metric {
    pub name: &'static str,
    pub bound: Bound,
    pub least_slack: f64,
    pub reason: &'static str,
    figure: Figure,
}

enum Figure {
    Error(Stage),
    Distance,
    Agreement(Head),
    Kl(Head, fn(&Spread) -> f64),
    SameAnswers,
}

#[derive(Clone, Copy)]
enum Head {
    Text,
    Audio,
}

const fn error(name: &'static str, stage: Stage, least_slack: f64, reason: &'static str) -> Metric {
    Metric {
        name,
        bound: Bound::AtMost,
        least_slack,
        reason,
        figure: Figure::Error(stage),
    }
}

const fn kl(name: &'static str, head: Head, pick: fn(&Spread) -> f64) -> Metric {
    Metric {
        name,
        bound: Bound::AtMost,
        least_slack: 1e-6,
        reason: "how surprised the reference would be by the candidate's choices, in nats a step",
        figure: Figure::Kl(head, pick),
    }
}

const fn agreement(name: &'static str, head: Head, reason: &'static str) -> Metric {
    Metric {
        name,
        bound: Bound::AtLeast,
        least_slack: 0.002,
        reason,
        figure: Figure::Agreement(head),
    }
}

/// Ids and rules are the same or are not; numbers may round otherwise elsewhere.
const METRICS: [Metric; 19] = [
    error(
        "rules.error",
        Stage::Rules,
        0.0,
        "ids, delays and the mel's sizes are those of one checkpoint",
    ),
    error("mel.error", Stage::Mel, 1e-5, "both hear the same"),
    error(
        "features.error",
        Stage::Features,
        1e-5,
        "the encoder's audio features",
    ),
    error("prompt.error", Stage::Prompt, 0.0, "both read the same ids"),
    error(
        "prompt-logits.error",
        Stage::PromptLogits,
        1e-5,
        "the decoder's first logits",
    ),
    error(
        "step-logits.error",
        Stage::StepLogits,
        1e-5,
        "the decoder's later logits, from its cache",
    ),
    error("frames.error", Stage::Frames, 0.0, "one delay pattern"),
    error(
        "sound.error",
        Stage::Sound,
        1e-4,
        "the codec, given the same ids",
    ),
    Metric {
        name: "sound.log-spectral-distance-db",
        bound: Bound::AtMost,
        least_slack: 0.01,
        reason: "the codec as it is heard, given the same ids",
        figure: Figure::Distance,
    },
    agreement(
        "text.agreement",
        Head::Text,
        "share of text ids that are the reference's",
    ),
    kl("text.kl-mean", Head::Text, |kl| kl.mean),
    kl("text.kl-median", Head::Text, |kl| kl.median),
    kl("text.kl-p99", Head::Text, |kl| kl.p99),
    kl("text.kl-max", Head::Text, |kl| kl.max),
    agreement(
        "audio.agreement",
        Head::Audio,
        "share of audio ids that are the reference's",
    ),
    kl("audio.kl-mean", Head::Audio, |kl| kl.mean),
    kl("audio.kl-p99", Head::Audio, |kl| kl.p99),
    kl("audio.kl-max", Head::Audio, |kl| kl.max),
    Metric {
        name: "free-running.same",
        bound: Bound::AtLeast,
        least_slack: 0.0,
        reason: "share of answers that are the reference's to the last id",
        figure: Figure::SameAnswers,
    },
];

/// All figures.
pub fn all() -> &'static [Metric] {
    &METRICS
}

/// The figure of that name.
pub fn find(name: &str) -> Option<&'static Metric> {
    METRICS.iter().find(|metric| metric.name == name)
}

/// All names, for a sentence.
pub fn names() -> String {
    METRICS.map(|metric| metric.name).join(", ")
}

impl Metric {
    /// In a report; `None` where the questions do not have it.
    pub fn value(&self, report: &Report) -> Option<f64> {
        let heads = |head| -> &StreamFigures {
            match head {
                Head::Text => &report.text,
                Head::Audio => &report.audio,
            }
        };
        let stage = |stage| {
            report
                .stages
                .iter()
                .find(|worst| worst.drift.stage == stage)
        };
        match self.figure {
            Figure::Error(at) => Some(stage(at)?.drift.error),
            Figure::Distance => stage(Stage::Sound)?.drift.log_spectral_distance_db,
            Figure::Agreement(head) => {
                let agreement = heads(head).agreement;
                (agreement.of > 0).then(|| agreement.share())
            }
            Figure::Kl(head, pick) => heads(head).kl_nats.as_ref().map(pick),
            Figure::SameAnswers => Some(report.same_answers),
        }
    }
}
