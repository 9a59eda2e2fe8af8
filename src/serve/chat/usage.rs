//! How much was read and written, in ids.

use mini_omni::{Ended, Trace};
use serde_json::{Value, json};

use crate::serve::counts;

/// The `usage` of an answer. A frame of sound is one id of seven streams and counts as one token.
pub fn usage(trace: &Trace) -> Value {
    let [read, heard] = counts::prompt(trace);
    let [text, sound] = counts::answer(trace);
    let prompt = trace.prompt_length;
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
