//! Which models can be compared at all: those whose ids mean the same.

use crate::error::{Error, ErrorKind, Result};
use crate::model::manifest::Manifest;

/// Refuses models that differ in ids, delays, features or codec; the sentence names what differs.
pub fn check_shapes(reference: &Manifest, candidate: &Manifest) -> Result<()> {
    let (r, c) = (describe(reference), describe(candidate));
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
fn describe(m: &Manifest) -> [(&'static str, String); 9] {
    let ids = &m.ids;
    [
        ("text vocabulary is", ids.text_vocab_size.to_string()),
        ("audio vocabulary is", ids.audio_vocab_size.to_string()),
        ("audio streams are", ids.audio_streams.to_string()),
        (
            "special ids are",
            format!(
                "{:?}",
                [
                    ids.eot,
                    ids.pad_t,
                    ids.input_t,
                    ids.answer_t,
                    ids.asr,
                    ids.eoa,
                    ids.pad_a,
                    ids.input_a,
                    ids.answer_a,
                    ids.split
                ]
            ),
        ),
        ("delays are", format!("{:?}", m.delays)),
        ("width of audio features is", m.decoder.n_embd.to_string()),
        (
            "milliseconds of an audio feature are",
            m.mel.feature_ms.to_string(),
        ),
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
