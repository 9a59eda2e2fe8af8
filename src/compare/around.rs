//! The stages around the decoder's steps: what is read before them, and the frames after them.

use ndarray::Array2;

use super::measure::{cosine, max_difference};
use super::pass::ReadQuestion;
use super::shape::rules_drift;
use super::stage::{Stage, StageDrift};
use super::{FeaturesDrift, Known};
use crate::decoding::delay::Frame;
use crate::decoding::prompt::Prompt;
use crate::model::manifest::Manifest;

/// The stages before the decoder.
pub(super) fn stages_before(
    known: &Known,
    read: &ReadQuestion,
    candidate: &Manifest,
) -> Vec<StageDrift> {
    let mut stages = vec![rules_drift(known.manifest, candidate)];
    if let (Some(ours), Some(theirs)) = (known.mel, &read.mel) {
        stages.push(mel_drift(ours, theirs));
    }
    if let (Some(ours), Some(theirs)) = (known.features, &read.features) {
        stages.push(StageDrift::numbers(
            Stage::Features,
            flat(ours),
            flat(theirs),
        ));
    }
    stages.push(prompt_drift(known.prompt, &read.prepared.prompt));
    stages
}

/// The values of an array in the order of its rows.
fn flat(array: &Array2<f32>) -> &[f32] {
    array.as_slice().unwrap_or_default()
}

/// The frames that both windows have; the one that differs most says where to look.
fn mel_drift(reference: &Array2<f32>, candidate: &Array2<f32>) -> StageDrift {
    let frames = reference.ncols().min(candidate.ncols());
    let shared = |mel: &Array2<f32>| -> Vec<f32> {
        mel.rows()
            .into_iter()
            .flat_map(|row| row.to_vec().into_iter().take(frames))
            .collect()
    };
    let (ours, theirs) = (shared(reference), shared(candidate));
    let mut drift = StageDrift::numbers(Stage::Mel, &ours, &theirs);
    if drift.at.is_none() && drift.max_difference.is_some_and(|largest| largest != 0.0) {
        let frames = reference.columns().into_iter().zip(candidate.columns());
        let apart = frames.map(|(a, b)| max_difference(&a.to_vec(), &b.to_vec()));
        let worst = apart.enumerate().max_by(|a, b| a.1.total_cmp(&b.1));
        drift.at = worst.map(|(frame, _)| format!("frame {frame}"));
    }
    drift
}

/// All ids of the prompt, the marks in its last columns.
fn prompt_drift(reference: &Prompt, candidate: &Prompt) -> StageDrift {
    let columns = |prompt: &Prompt| -> Vec<Vec<i64>> {
        let column = |at: usize| prompt.shared.iter().map(|stream| stream[at]).collect();
        let shared = (0..prompt.shared[0].len()).map(column);
        shared.chain(prompt.marks.iter().cloned()).collect()
    };
    let (ours, theirs) = (columns(reference), columns(candidate));
    ids_drift(Stage::Prompt, "column", &ours, &theirs)
}

pub(super) fn frames_drift(reference: &[Frame], candidate: &[Frame]) -> StageDrift {
    let ids = |frames: &[Frame]| frames.iter().map(|f| f.ids().to_vec()).collect::<Vec<_>>();
    ids_drift(Stage::Frames, "frame", &ids(reference), &ids(candidate))
}

/// Columns of ids; those that one side lacks differ.
fn ids_drift(stage: Stage, what: &str, ours: &[Vec<i64>], theirs: &[Vec<i64>]) -> StageDrift {
    let n = ours.len().max(theirs.len());
    let differs = |&at: &usize| ours.get(at) != theirs.get(at);
    let first = (0..n).find(differs).map(|at| format!("{what} {at}"));
    StageDrift::ids(stage, (0..n).filter(differs).count(), n, first)
}

pub(super) fn features_drift(known: &Known, read: &ReadQuestion) -> Option<FeaturesDrift> {
    let (ours, theirs) = (flat(known.features?), flat(read.features.as_ref()?));
    let same_size = ours.len() == theirs.len();
    Some(FeaturesDrift {
        max_difference: match same_size {
            true => max_difference(ours, theirs),
            false => f32::NAN,
        },
        cosine: match same_size {
            true => cosine(ours, theirs),
            false => f64::NAN,
        },
    })
}
