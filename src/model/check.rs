//! Whether a manifest can be true: its sizes, ids and delays, before anything is opened.

use super::manifest::Manifest;

/// Sizes, ids and delays must be possible, and agree with each other.
pub(super) fn dims(manifest: &Manifest) -> std::result::Result<(), String> {
    let streams = manifest.ids.audio_streams;
    let positive = [
        manifest.mel.n_fft,
        manifest.mel.hop_length,
        manifest.mel.n_mels,
        manifest.mel.max_seconds,
        manifest.mel.frames_per_feature,
        manifest.mel.feature_ms,
        manifest.mel.sample_rate as usize,
        manifest.decoder.n_layer,
        manifest.decoder.n_embd,
        manifest.decoder.n_kv_head,
        manifest.decoder.head_size,
        manifest.codec.samples_per_frame,
        manifest.codec.sample_rate as usize,
    ];
    if positive.contains(&0) {
        return Err("a size in it is 0".into());
    }
    if streams == 0 || manifest.delays.len() != streams || manifest.codec.levels.len() != streams {
        return Err(format!(
            "it has {streams} audio streams, {} delays and {} codec levels; the three must agree",
            manifest.delays.len(),
            manifest.codec.levels.len()
        ));
    }
    if !manifest.codec.levels_fit() {
        return Err(format!(
            "codec levels and level_strides do not make {streams} codes a frame"
        ));
    }
    let text = [
        manifest.ids.eot,
        manifest.ids.pad_t,
        manifest.ids.input_t,
        manifest.ids.answer_t,
        manifest.ids.asr,
    ];
    let audio = [
        manifest.ids.eoa,
        manifest.ids.pad_a,
        manifest.ids.input_a,
        manifest.ids.answer_a,
        manifest.ids.split,
    ];
    check_ids("text", &text, manifest.ids.text_vocab_size)?;
    check_ids("audio", &audio, manifest.ids.audio_vocab_size)?;
    if manifest.codec.codebook_size > manifest.ids.audio_vocab_size {
        return Err("codebook_size is larger than audio_vocab_size".into());
    }
    Ok(())
}

fn check_ids(what: &str, ids: &[i64], vocab: usize) -> std::result::Result<(), String> {
    match ids.iter().find(|&&id| id < 0 || id as usize >= vocab) {
        Some(id) => Err(format!(
            "special {what} id {id} lies outside its vocabulary of {vocab}"
        )),
        None => Ok(()),
    }
}
