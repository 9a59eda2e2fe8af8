//! How many ids were read and written, text and sound apart: what the protocols call tokens.

use mini_omni::{Source, Task, Trace};

/// Ids of a prompt: [text, sound].
pub fn prompt(trace: &Trace) -> [usize; 2] {
    let task = Task::by_name(trace.task);
    match task.is_some_and(|task| task.source() == Source::Text) {
        true => [trace.prompt_length, 0],
        false => [0, trace.prompt_length],
    }
}

/// Ids of an answer: [text, sound]. A step of sound counts once, whatever its streams.
pub fn answer(trace: &Trace) -> [usize; 2] {
    match trace.tokens.split_last() {
        Some((text, sound)) => [text.len(), sound.first().map_or(0, Vec::len)],
        None => [0, 0],
    }
}
