//! How much was read and written, in ids.

use mini_omni::{Ended, Source, Trace};
use serde_json::{Value, json};

/// The `usage` of an answer. A frame of sound is one id of seven streams and counts as one token.
pub fn usage(trace: &Trace, source: Source) -> Value {
    let prompt = trace.prompt_length;
    let (heard, read) = match source {
        Source::Audio => (prompt, 0),
        Source::Text => (0, prompt),
    };
    let text = trace.tokens.last().map_or(0, Vec::len);
    let sound = match trace.tokens.len() {
        0 | 1 => 0,
        _ => trace.tokens[0].len(),
    };
    json!({
        "prompt_tokens": prompt,
        "completion_tokens": text + sound,
        "total_tokens": prompt + text + sound,
        "prompt_tokens_details": {"text_tokens": read, "audio_tokens": heard, "cached_tokens": 0},
        "completion_tokens_details": {
            "text_tokens": text, "audio_tokens": sound, "reasoning_tokens": 0,
            "accepted_prediction_tokens": 0, "rejected_prediction_tokens": 0,
        },
    })
}

/// `length` where the answer was cut, else `stop`.
pub fn finish_reason(trace: &Trace) -> &'static str {
    match trace.ended {
        Ended::Limit => "length",
        _ => "stop",
    }
}
