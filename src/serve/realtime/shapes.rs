//! What a client's events look like: their fields, and what may stand in each.

use crate::serve::shape::{Field, Shape, needed, optional};

/// Events that can be sent here, by name.
pub const EVENTS: [(&str, Shape); 10] = [
    (
        "session.update",
        Shape::Object(&[needed("session", SESSION)]),
    ),
    (
        "input_audio_buffer.append",
        Shape::Object(&[needed("audio", Shape::Text)]),
    ),
    ("input_audio_buffer.commit", Shape::Object(&[])),
    ("input_audio_buffer.clear", Shape::Object(&[])),
    (
        "conversation.item.create",
        Shape::Object(&[
            optional("previous_item_id", Shape::Id),
            needed("item", ITEM),
        ]),
    ),
    ("conversation.item.retrieve", Shape::Object(&ITEM_ID)),
    ("conversation.item.delete", Shape::Object(&ITEM_ID)),
    (
        "conversation.item.truncate",
        Shape::Object(&[
            ITEM_ID[0],
            optional("content_index", Shape::Count),
            needed("audio_end_ms", Shape::Number),
        ]),
    ),
    (
        "response.create",
        Shape::Object(&[optional("response", RESPONSE)]),
    ),
    (
        "response.cancel",
        Shape::Object(&[optional("response_id", Shape::Id)]),
    ),
];

const ITEM_ID: [Field; 1] = [needed("item_id", Shape::Id)];

/// Items that are no messages have any other fields.
const ITEM: Shape = Shape::Open(&[
    optional("id", Shape::Id),
    needed("type", Shape::Text),
    optional("role", Shape::Word(&["user", "assistant", "system"])),
    optional("content", Shape::List(&PART)),
]);

const PART: Shape = Shape::Open(&[
    needed("type", Shape::Text),
    optional("text", Shape::Text),
    optional("audio", Shape::Text),
    optional("transcript", Shape::Text),
]);

const RESPONSE: Shape = Shape::Object(&[
    optional("conversation", Shape::Word(&["auto", "none"])),
    optional("input", Shape::List(&ITEM)),
    optional("metadata", Shape::Labels),
    optional("output_modalities", MODALITIES),
    optional("max_output_tokens", MOST_TOKENS),
    optional(
        "audio",
        Shape::Open(&[optional(
            "output",
            Shape::Open(&[optional("format", FORMAT)]),
        )]),
    ),
    optional("instructions", Shape::Any),
    optional("tools", Shape::Any),
    optional("tool_choice", Shape::Any),
    optional("parallel_tool_calls", Shape::Any),
    optional("prompt", Shape::Any),
    optional("reasoning", Shape::Any),
]);

const MODALITIES: Shape = Shape::List(&Shape::Word(&["text", "audio"]));
const MOST_TOKENS: Shape = Shape::Either(&[Shape::Count, Shape::Word(&["inf"])]);

const FORMAT: Shape = Shape::Typed(&[
    ("audio/pcm", Shape::Open(&[optional("rate", Shape::Count)])),
    ("audio/pcmu", Shape::Open(&[])),
    ("audio/pcma", Shape::Open(&[])),
]);

/// What `session.update` may name.
pub const SESSION: Shape = Shape::Object(&[
    optional("type", Shape::Word(&["realtime"])),
    optional("object", Shape::Text),
    optional("id", Shape::Text),
    optional("model", Shape::Text),
    optional("output_modalities", MODALITIES),
    optional("max_output_tokens", MOST_TOKENS),
    optional(
        "audio",
        Shape::Object(&[optional("input", INPUT), optional("output", OUTPUT)]),
    ),
    optional("instructions", Shape::Text),
    optional("tools", Shape::List(&Shape::Any)),
    optional("tool_choice", Shape::Any),
    optional("parallel_tool_calls", Shape::Truth),
    optional("truncation", Shape::Any),
    optional("tracing", Shape::Any),
    optional("prompt", Shape::Any),
    optional("include", Shape::Any),
    optional("reasoning", Shape::Any),
    optional("expires_at", Shape::Count),
]);

const INPUT: Shape = Shape::Object(&[
    optional("format", FORMAT),
    optional("turn_detection", TURN_DETECTION),
    optional("transcription", Shape::Open(&[])),
    optional("noise_reduction", Shape::Any),
]);

const OUTPUT: Shape = Shape::Object(&[
    optional("format", FORMAT),
    optional("voice", Shape::Any),
    optional("speed", Shape::Number),
]);

const CREATE: Field = optional("create_response", Shape::Truth);
const INTERRUPT: Field = optional("interrupt_response", Shape::Truth);

const TURN_DETECTION: Shape = Shape::Typed(&[
    (
        "server_vad",
        Shape::Object(&[
            optional("threshold", Shape::Number),
            optional("prefix_padding_ms", Shape::Count),
            optional("silence_duration_ms", Shape::Count),
            optional("idle_timeout_ms", Shape::Count),
            CREATE,
            INTERRUPT,
        ]),
    ),
    (
        "semantic_vad",
        Shape::Object(&[
            optional("eagerness", Shape::Word(&["low", "medium", "high", "auto"])),
            CREATE,
            INTERRUPT,
        ]),
    ),
]);
