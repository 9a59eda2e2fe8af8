//! Which models can be compared at all, and by what rules of theirs they differ.

use super::stage::{Stage, StageDrift};
use crate::error::{Error, ErrorKind, Result};
use crate::model::manifest::Manifest;

/// Refuses models of other sizes: no number of one has its counterpart in the other. The sentence
/// names what differs.
pub fn check_shapes(reference: &Manifest, candidate: &Manifest) -> Result<()> {
    let (r, c) = (sizes(reference), sizes(candidate));
    match r.iter().zip(&c).find(|(r, c)| r != c) {
        None => Ok(()),
        Some(((what, r), (_, c))) => {
            let sentence = format!(
                "the two models cannot be compared: {what} {r} in the reference ({}), {c} in the candidate ({}); compare exports of one checkpoint",
                reference.name, candidate.name
            );
            Err(Error::new(ErrorKind::NotComparable, sentence))
        }
    }
}

/// What must be equal, most telling first.
fn sizes(m: &Manifest) -> [(&'static str, String); 6] {
    let ids = &m.ids;
    [
        ("text vocabulary is", ids.text_vocab_size.to_string()),
        ("audio vocabulary is", ids.audio_vocab_size.to_string()),
        ("audio streams are", ids.audio_streams.to_string()),
        ("width of audio features is", m.decoder.n_embd.to_string()),
        (
            "codec frames are",
            format!(
                "{} samples at {} Hz, levels {:?}",
                m.codec.samples_per_frame, m.codec.sample_rate, m.codec.levels
            ),
        ),
        ("codebook size is", m.codec.codebook_size.to_string()),
    ]
}

/// The fields of both manifests that say how a question is read and an answer spoken: those that
/// differ are the first stage.
pub(super) fn rules_drift(reference: &Manifest, candidate: &Manifest) -> StageDrift {
    let (r, c) = (rules(reference), rules(candidate));
    let differing: Vec<_> = r.iter().zip(&c).filter(|(r, c)| r != c).collect();
    let tell = |((name, r), (_, c)): &(&(&str, String), &(&str, String))| {
        format!("{name} {r} in the reference, {c} in the candidate")
    };
    let told: Vec<String> = differing.iter().map(tell).collect();
    let at = (!told.is_empty()).then(|| told.join("; "));
    StageDrift::ids(Stage::Rules, differing.len(), r.len(), at)
}

/// By the names of the manifest.
fn rules(m: &Manifest) -> [(&'static str, String); 17] {
    let (ids, mel) = (&m.ids, &m.mel);
    let id = |id: i64| id.to_string();
    [
        ("ids.eot", id(ids.eot)),
        ("ids.pad_t", id(ids.pad_t)),
        ("ids.input_t", id(ids.input_t)),
        ("ids.answer_t", id(ids.answer_t)),
        ("ids.asr", id(ids.asr)),
        ("ids.eoa", id(ids.eoa)),
        ("ids.pad_a", id(ids.pad_a)),
        ("ids.input_a", id(ids.input_a)),
        ("ids.answer_a", id(ids.answer_a)),
        ("delays", format!("{:?}", m.delays)),
        ("mel.sample_rate", mel.sample_rate.to_string()),
        ("mel.n_fft", mel.n_fft.to_string()),
        ("mel.hop_length", mel.hop_length.to_string()),
        ("mel.n_mels", mel.n_mels.to_string()),
        ("mel.max_seconds", mel.max_seconds.to_string()),
        ("mel.frames_per_feature", mel.frames_per_feature.to_string()),
        ("mel.feature_ms", mel.feature_ms.to_string()),
    ]
}
