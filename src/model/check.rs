//! Whether a manifest can be true: its sizes, ids and delays, before anything is opened.
//!
//! Every size has a smallest and a largest value with the reason for it, so that nothing is ever
//! allocated or computed by a number that no model has. `contract` then holds the sizes against the
//! shapes of the graphs, `folder` against the bytes of the files.

use serde_json::Value;

use super::manifest::{CodecDims, DecoderDims, Manifest, MelDims, MergedWindow, SpecialIds};
use super::names;

type Check = std::result::Result<(), String>;

/// Samples of the longest window, 128 MiB of them: 30 s at 1 MHz, 10 min at 48 kHz.
const MOST_SAMPLES: usize = 1 << 25;
/// Values of the longest mel, 64 MiB: 70 times Whisper's.
const MOST_MEL: usize = 1 << 24;
/// Values of one step's audio logits, 8 MiB: 70 times the published model's.
const MOST_AUDIO_LOGITS: usize = 1 << 21;
/// Keys and values of one position, 1 MiB: a model of 70 thousand million weights has 0.6.
const MOST_KV_A_POSITION: usize = 1 << 18;
/// Keys and values of one whole row, 16 GiB.
const MOST_KV_A_ROW: usize = 1 << 32;
/// Frames that the codec may lag behind: seconds of sound.
const MOST_FRAMES_OF_DELAY: usize = 64;
/// Characters of a name or a version.
const LONGEST_TEXT: usize = 1024;

/// Sizes, ids and delays must be possible, and agree with each other.
pub(super) fn dims(manifest: &Manifest) -> Check {
    texts(manifest)?;
    mel(&manifest.mel)?;
    if let Some(merged) = &manifest.merged_window {
        merged_window(merged, manifest.mel.max_features())?;
    }
    ids(&manifest.ids)?;
    decoder(&manifest.decoder)?;
    streams(manifest)?;
    codec(&manifest.codec)?;
    if manifest.codec.codebook_size > manifest.ids.audio_vocab_size {
        return Err(format!(
            "codec.codebook_size is {}, larger than ids.audio_vocab_size, {}",
            manifest.codec.codebook_size, manifest.ids.audio_vocab_size
        ));
    }
    let ids = &manifest.ids;
    let special = [ids.eoa, ids.pad_a, ids.input_a, ids.answer_a, ids.split];
    let codes = manifest.codec.codebook_size;
    special_ids("audio", &special, (codes, ids.audio_vocab_size))?;
    hashes(manifest)
}

/// The least bytes that the decoder's weights take: one bit each of embeddings and attention.
pub(super) fn least_weight_bytes(manifest: &Manifest) -> u64 {
    let (ids, d) = (&manifest.ids, &manifest.decoder);
    let words = ids.text_vocab_size + ids.audio_streams * ids.audio_vocab_size;
    let attention = d.n_layer * (d.n_head + 2 * d.n_kv_head) * d.head_size;
    (d.n_embd as u64) * (words + attention) as u64 / 8
}

/// `found` must lie in a range whose ends `why` explains.
fn within(what: &str, found: usize, (least, most): (usize, usize), why: &str) -> Check {
    match (least..=most).contains(&found) {
        true => Ok(()),
        false => Err(format!(
            "{what} is {found}; it must lie between {least} and {most} ({why})"
        )),
    }
}

/// Every text of the manifest is one that can be shown: short, and no control character in it.
fn texts(manifest: &Manifest) -> Check {
    match serde_json::to_value(manifest) {
        Ok(value) => shown(&value),
        Err(e) => Err(format!("it cannot be written down again: {e}")),
    }
}

fn shown(value: &Value) -> Check {
    match value {
        Value::String(text) if text.len() > LONGEST_TEXT => Err(format!(
            "a text in it has {} bytes, {LONGEST_TEXT} at most make sense",
            text.len()
        )),
        Value::String(text) if !names::is_printable(text) => Err(format!(
            "the text {} in it has characters that cannot be shown",
            names::one_line(text)
        )),
        Value::Array(values) => values.iter().try_for_each(shown),
        Value::Object(fields) => fields.values().try_for_each(shown),
        _ => Ok(()),
    }
}

const RATES: (usize, usize) = (4_000, 768_000);

fn mel(mel: &MelDims) -> Check {
    let rate = mel.sample_rate as usize;
    within("mel.sample_rate", rate, RATES, "Hz that sound has")?;
    within("mel.n_fft", mel.n_fft, (16, 65_536), "samples")?;
    let why = "a longer hop than the window would skip samples";
    within("mel.hop_length", mel.hop_length, (1, mel.n_fft), why)?;
    let bins = mel.n_fft / 2 + 1;
    let why = "a band needs a frequency of the window";
    within("mel.n_mels", mel.n_mels, (1, bins), why)?;
    let most = MOST_SAMPLES / rate;
    within("mel.max_seconds", mel.max_seconds, (1, most), "128 MiB")?;
    let frames = mel.max_frames();
    let why = "64 MiB of mel";
    let most = MOST_MEL / mel.n_mels;
    within("mel frames of mel.max_seconds", frames, (1, most), why)?;
    let why = "no more mel frames than the window has";
    let a_feature = mel.frames_per_feature;
    within("mel.frames_per_feature", a_feature, (1, frames), why)?;
    within(
        "mel.feature_ms",
        mel.feature_ms,
        (1, 60_000),
        "milliseconds",
    )?;
    feature_length(mel)
}

/// The plan names positions of the window, each once and in order, so that each stands for a number
/// of them, and the last one for what is left.
fn merged_window(merged: &MergedWindow, positions: usize) -> Check {
    let why = "positions of the encoder's window";
    within("merged_window.margin", merged.margin, (0, positions), why)?;
    if let Some(pair) = merged.kept.windows(2).find(|pair| pair[0] >= pair[1]) {
        let [before, behind] = [pair[0], pair[1]];
        return Err(format!(
            "merged_window.kept has {behind} behind {before}; its positions must ascend"
        ));
    }
    let last = positions - 1;
    match merged.kept.last() {
        Some(&found) if found == last => Ok(()),
        found => Err(format!(
            "merged_window.kept ends with {}, the encoder's last position is {last}",
            found.map_or("nothing".to_string(), ToString::to_string)
        )),
    }
}

/// A feature's milliseconds are those of its frames, rounded.
fn feature_length(mel: &MelDims) -> Check {
    let rate = u128::from(mel.sample_rate);
    let said = mel.feature_ms as u128 * rate;
    let frames = (mel.frames_per_feature * mel.hop_length) as u128 * 1000;
    if said.abs_diff(frames) < rate {
        return Ok(());
    }
    Err(format!(
        "mel.feature_ms is {}, but {} frames of {} samples at {rate} Hz last {} ms",
        mel.feature_ms,
        mel.frames_per_feature,
        mel.hop_length,
        frames / rate
    ))
}

fn ids(ids: &SpecialIds) -> Check {
    let streams = ids.audio_streams;
    within("ids.audio_streams", streams, (1, 64), "codes of a frame")?;
    let text = ids.text_vocab_size;
    let why = "eight times the largest known vocabulary";
    within("ids.text_vocab_size", text, (1, 1 << 21), why)?;
    let most = MOST_AUDIO_LOGITS / streams;
    let why = "8 MiB of audio logits a step";
    within("ids.audio_vocab_size", ids.audio_vocab_size, (1, most), why)?;
    let special = [ids.eot, ids.pad_t, ids.input_t, ids.answer_t, ids.asr];
    let words = usize::try_from(ids.eot).unwrap_or(0);
    special_ids("text", &special, (words, text))
}

/// Special ids lie behind the plain ones and inside the vocabulary, and no two are alike.
fn special_ids(what: &str, ids: &[i64], (plain, vocab): (usize, usize)) -> Check {
    let lies = |id: i64| usize::try_from(id).is_ok_and(|id| (plain..vocab).contains(&id));
    if let Some(id) = ids.iter().find(|&&id| !lies(id)) {
        return Err(format!(
            "special {what} id {id} must lie behind the {plain} plain ids and inside the vocabulary of {vocab}"
        ));
    }
    let mut sorted = ids.to_vec();
    sorted.sort_unstable();
    match sorted.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(format!("two special {what} ids are {}", pair[0])),
        None => Ok(()),
    }
}

/// A hash that is none would only be noticed when a file is verified.
fn hashes(manifest: &Manifest) -> Check {
    let is_hash = |text: &str| text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    match manifest.files.iter().find(|file| !is_hash(&file.sha256)) {
        Some(file) => Err(format!(
            "the sha256 of {} is not 64 hexadecimal digits",
            file.name
        )),
        None => Ok(()),
    }
}

fn decoder(d: &DecoderDims) -> Check {
    let why = "several times that of the largest known models";
    within("decoder.n_layer", d.n_layer, (1, 1024), why)?;
    within("decoder.n_embd", d.n_embd, (1, 1 << 15), why)?;
    within("decoder.n_head", d.n_head, (1, 1024), why)?;
    within("decoder.head_size", d.head_size, (1, 2048), why)?;
    let why = "no more than n_head";
    within("decoder.n_kv_head", d.n_kv_head, (1, d.n_head), why)?;
    if !d.n_head.is_multiple_of(d.n_kv_head) {
        return Err(format!(
            "decoder.n_head is {} and decoder.n_kv_head {}; the second must divide the first",
            d.n_head, d.n_kv_head
        ));
    }
    let position = 2 * d.n_layer * d.n_kv_head * d.head_size;
    let why = "2 * n_layer * n_kv_head * head_size; 1 MiB";
    within(
        "keys and values a position",
        position,
        (1, MOST_KV_A_POSITION),
        why,
    )?;
    let most = (MOST_KV_A_ROW / position).min(1 << 20);
    let why = "positions, 16 GiB of keys and values a row";
    within("decoder.max_length", d.max_length, (8, most), why)
}

/// Delays and codec levels are one a stream.
fn streams(manifest: &Manifest) -> Check {
    let streams = manifest.ids.audio_streams;
    let (delays, levels) = (&manifest.delays, &manifest.codec.levels);
    if delays.len() != streams || levels.len() != streams {
        return Err(format!(
            "it has {streams} audio streams, {} delays and {} codec levels; the three must agree",
            delays.len(),
            levels.len()
        ));
    }
    let most = manifest.decoder.max_length.min(1024) - 1;
    let why = "steps; fewer than decoder.max_length";
    delays
        .iter()
        .try_for_each(|&delay| within("a delay", delay, (0, most), why))
}

fn codec(codec: &CodecDims) -> Check {
    let rate = codec.sample_rate as usize;
    within("codec.sample_rate", rate, RATES, "Hz that sound has")?;
    let frame = codec.samples_per_frame;
    let why = "samples, seconds of sound at most";
    within("codec.samples_per_frame", frame, (1, 1 << 17), why)?;
    let strides = &codec.level_strides;
    within("codec levels", strides.len(), (1, 64), "one a stride")?;
    let stride = |&stride: &usize| within("codec.level_strides", stride, (1, 1024), "latents");
    strides.iter().try_for_each(stride)?;
    if !codec.levels_fit() {
        let streams = codec.levels.len();
        return Err(format!(
            "codec levels and level_strides do not make {streams} codes a frame"
        ));
    }
    let book = codec.codebook_size;
    within("codec.codebook_size", book, (1, 1 << 21), "codes")?;
    let most = MOST_FRAMES_OF_DELAY * frame;
    let delay = codec.delay_samples;
    within("codec.delay_samples", delay, (0, most), "64 frames")?;
    noise(codec)
}

fn noise(codec: &CodecDims) -> Check {
    within("codec noise blocks", codec.noise.len(), (0, 64), "blocks")?;
    codec.noise.iter().try_for_each(|noise| {
        let why = "no more draws than samples";
        let most = codec.samples_per_frame;
        within("codec noise.per_frame", noise.per_frame, (1, most), why)?;
        let most = MOST_FRAMES_OF_DELAY * noise.per_frame;
        within("codec noise.delay", noise.delay, (0, most), "64 frames")
    })
}
