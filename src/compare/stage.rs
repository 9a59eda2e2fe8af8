//! A question's way through both models, stage by stage, so that the first stage at fault is known.
//!
//! All stages share one figure, the error: for numbers the root of the difference's share of the
//! signal, for ids the share that differs. A stage whose error lies above the band is at fault, and
//! what follows it may be so only because of it.

use serde::Serialize;

use super::measure::{Energy, cosine, max_difference};
use super::tally::Logits;
use crate::decoding::sampling::all_finite;

/// Where a comparison looks, in the order in which a question comes by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum Stage {
    /// What the manifests say: ids with a meaning, delays, how sound is heard.
    Rules,
    /// The log-mel spectrogram.
    Mel,
    /// Audio features: the encoder.
    Features,
    /// The ids that the decoder reads.
    Prompt,
    /// Logits behind the prompt: the decoder.
    PromptLogits,
    /// Logits of all later steps, the candidate following the reference's ids: the decoder's cache.
    StepLogits,
    /// The codec frames that the reference's ids make: the delay pattern.
    Frames,
    /// The reference's frames through both codecs.
    Sound,
}

impl Stage {
    /// As in reports.
    pub fn name(self) -> &'static str {
        match self {
            Stage::Rules => "rules",
            Stage::Mel => "mel",
            Stage::Features => "features",
            Stage::Prompt => "prompt",
            Stage::PromptLogits => "prompt-logits",
            Stage::StepLogits => "step-logits",
            Stage::Frames => "frames",
            Stage::Sound => "sound",
        }
    }
}

/// How far the two are apart after a stage.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct StageDrift {
    /// Where.
    pub stage: Stage,
    /// The figure that all stages share, 0 where nothing differs; not a number where the two cannot be
    /// compared because their sizes differ, or because one of them has values that are no numbers.
    pub error: f64,
    /// The largest difference of two numbers; `None` for ids.
    pub max_difference: Option<f32>,
    /// Of the angle between both as vectors; `None` for ids and logits.
    pub cosine: Option<f64>,
    /// Signal to difference; `None` for ids and where nothing differs.
    pub snr_db: Option<f64>,
    /// Of sound alone.
    pub log_spectral_distance_db: Option<f64>,
    /// The first place at which the two differ by more than the band: a field, a frame, a column.
    pub at: Option<String>,
}

impl StageDrift {
    fn of(stage: Stage, error: f64) -> StageDrift {
        StageDrift {
            stage,
            error,
            max_difference: None,
            cosine: None,
            snr_db: None,
            log_spectral_distance_db: None,
            at: None,
        }
    }

    /// Of ids, or of whatever is the same or not: `differing` of `of`, the first of them `at`.
    pub(super) fn ids(stage: Stage, differing: usize, of: usize, at: Option<String>) -> StageDrift {
        StageDrift {
            at,
            ..StageDrift::of(stage, differing as f64 / of.max(1) as f64)
        }
    }

    /// Of arrays, whose lengths may differ.
    pub(super) fn numbers(stage: Stage, reference: &[f32], candidate: &[f32]) -> StageDrift {
        if reference.len() != candidate.len() {
            let sizes = format!("{} values against {}", reference.len(), candidate.len());
            return StageDrift {
                at: Some(sizes),
                ..StageDrift::of(stage, f64::NAN)
            };
        }
        let energy = Energy::of(reference, candidate);
        StageDrift {
            max_difference: Some(max_difference(reference, candidate)),
            cosine: Some(cosine(reference, candidate)),
            ..StageDrift::energy(stage, energy, not_finite(reference, candidate))
        }
    }

    /// Of the logits of some steps.
    pub(super) fn logits(stage: Stage, logits: &Logits) -> StageDrift {
        let at = logits.not_finite.as_ref();
        let at = at.map(|at| format!("{at}: its logits are no finite numbers"));
        StageDrift::energy(stage, logits.energy, at)
    }

    /// Of numbers that were added up; `not_finite` says which of them are none. Those are a fault of
    /// whichever model made them, and never the same as anything.
    fn energy(stage: Stage, energy: Energy, not_finite: Option<String>) -> StageDrift {
        let error = match not_finite {
            None => energy.error(),
            Some(_) => f64::NAN,
        };
        StageDrift {
            snr_db: energy.snr_db(),
            at: not_finite,
            ..StageDrift::of(stage, error)
        }
    }

    /// Whether the stage is at fault. An error that is not a number is beyond every band.
    pub fn is_beyond(&self, band: f64) -> bool {
        beyond(self.error, band)
    }
}

/// How many values of which side are no finite numbers, if any are.
fn not_finite(reference: &[f32], candidate: &[f32]) -> Option<String> {
    let told = [("reference", reference), ("candidate", candidate)]
        .into_iter()
        .filter(|(_, values)| !all_finite(values))
        .map(|(side, values)| {
            let n = values.iter().filter(|value| !value.is_finite()).count();
            format!(
                "{n} of {} values of the {side} are no finite numbers",
                values.len()
            )
        });
    let told: Vec<String> = told.collect();
    (!told.is_empty()).then(|| told.join("; "))
}

/// Whether an error lies outside a band.
pub(super) fn beyond(error: f64, band: f64) -> bool {
    error.is_nan() || error > band
}

/// The first stage at fault, if one is.
pub fn first_fault(stages: &[StageDrift], band: f64) -> Option<&StageDrift> {
    stages.iter().find(|stage| stage.is_beyond(band))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_stage_beyond_the_band_is_at_fault() {
        let stages = [
            StageDrift::numbers(Stage::Mel, &[1.0, 0.0], &[1.0, 0.0]),
            StageDrift::numbers(Stage::Features, &[1.0, 0.0], &[1.0, 0.01]),
            StageDrift::ids(Stage::Frames, 1, 10, Some("frame 3".into())),
        ];
        let fault = |band| first_fault(&stages, band).map(|s| s.stage);
        assert_eq!(fault(0.0), Some(Stage::Features));
        assert_eq!(fault(0.05), Some(Stage::Frames));
        assert_eq!(fault(0.1), None);
    }

    #[test]
    fn what_is_no_number_is_beyond_every_band_on_both_sides_too() {
        let broken = [1.0, f32::NAN, f32::INFINITY];
        let drift = StageDrift::numbers(Stage::Sound, &broken, &broken);
        assert!(drift.is_beyond(f64::INFINITY));
        let at = "2 of 3 values of the reference are no finite numbers; 2 of 3 values of the candidate are no finite numbers";
        assert_eq!(drift.at.as_deref(), Some(at));
    }

    #[test]
    fn other_sizes_are_beyond_every_band() {
        let drift = StageDrift::numbers(Stage::Features, &[1.0], &[1.0, 1.0]);
        assert!(drift.is_beyond(f64::INFINITY));
        assert_eq!(drift.at.as_deref(), Some("1 values against 2"));
    }
}
