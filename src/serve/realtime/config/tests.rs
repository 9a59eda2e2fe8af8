//! The session object, updated and read.

use serde_json::json;

use super::*;
use crate::serve::realtime::client::{ClientEvent, Received};
use crate::serve::realtime::shapes::SESSION;
use crate::serve::shape::tests::sample;

fn session() -> SessionObject {
    SessionObject::new("sess_1".into(), "mini-omni-small".into())
}

/// A session updated as a client's event does it.
fn update(session: &SessionObject, update: Value) -> Result<SessionObject, Refusal> {
    let event = json!({"type": "session.update", "session": update}).to_string();
    match Received::read(&event).event? {
        ClientEvent::SessionUpdate { session: update } => session.updated(update),
        other => panic!("{other:?}"),
    }
}

fn updated(change: Value) -> SessionObject {
    update(&session(), change).expect("a good update")
}

fn settings(update: Value) -> Settings {
    updated(update).settings(&Settings::default())
}

#[test]
fn an_update_leaves_what_it_does_not_name() {
    let first = json!({"type": "realtime", "instructions": "Be brief.",
        "audio": {"input": {"transcription": {"model": "whisper-1"}}, "output": {"voice": "marin"}}});
    let second = json!({"type": "realtime", "audio": {"output": {"speed": 1.5}}});
    let told = update(&updated(first), second).expect("a good update");
    let told = serde_json::to_value(told).expect("JSON");
    assert_eq!(told["instructions"], "Be brief.");
    assert_eq!(
        told["audio"]["input"]["transcription"]["model"],
        "whisper-1"
    );
    assert_eq!(told["audio"]["output"]["voice"], "marin");
    assert_eq!(told["audio"]["output"]["speed"], 1.5);
    assert_eq!(
        told["audio"]["input"]["turn_detection"]["type"],
        "server_vad"
    );
}

#[test]
fn the_server_keeps_its_own_fields() {
    let told = updated(
        json!({"type": "realtime", "model": "gpt-realtime", "id": "mine",
        "object": "x", "expires_at": 7}),
    );
    assert_eq!(told, session());
}

#[test]
fn turn_detection_is_replaced_as_a_whole_and_null_ends_it() {
    let padded = json!({"audio": {"input": {"turn_detection":
        {"type": "server_vad", "prefix_padding_ms": 900, "create_response": false}}}});
    let told = settings(padded.clone());
    assert_eq!(
        (told.pre_roll, told.answer, told.interrupt),
        (900.0, false, true)
    );
    assert_eq!(told.turn_end, TurnEnd::Pause(500.0));
    let other = json!({"audio": {"input": {"turn_detection":
        {"type": "server_vad", "threshold": 0.7, "silence_duration_ms": 200, "interrupt_response": false,
         "create_response": null, "prefix_padding_ms": null}}}});
    let told = update(&updated(padded), other).expect("a good update");
    let told = told.settings(&Settings::default());
    assert_eq!((told.pre_roll, told.threshold), (300.0, 0.7));
    assert_eq!((told.answer, told.interrupt), (true, false));
    assert_eq!(told.turn_end, TurnEnd::Pause(200.0));
    let told = settings(json!({"audio": {"input": {"turn_detection": null}}}));
    assert_eq!((told.turn_end, told.answer), (TurnEnd::ByHand, false));
}

#[test]
fn eagerness_is_the_longest_pause() {
    for (eagerness, longest) in [("low", 8e3), ("medium", 4e3), ("auto", 4e3), ("high", 2e3)] {
        let told = settings(json!({"audio": {"input": {"turn_detection":
            {"type": "semantic_vad", "eagerness": eagerness}}}}));
        assert_eq!(told.turn_end, TurnEnd::Meaning { longest });
    }
}

#[test]
fn nulls_are_the_defaults() {
    let told = updated(
        json!({"type": "realtime", "output_modalities": null, "tools": null,
        "instructions": null, "max_output_tokens": null, "tracing": null, "audio":
        {"input": {"format": null, "noise_reduction": null, "transcription": null}, "output": null}}),
    );
    assert_eq!(told, session());
}

#[test]
fn the_rate_follows_the_format() {
    for (format, rate) in [
        ("audio/pcm", 24_000),
        ("audio/pcmu", 8_000),
        ("audio/pcma", 8_000),
    ] {
        let told = settings(json!({"audio": {"input": {"format": {"type": format}}}}));
        assert_eq!(told.input_rate, rate);
    }
}

#[test]
fn a_limit_counts_steps() {
    let steps = |update| settings(update).reply.options.max_steps;
    assert_eq!(steps(json!({"max_output_tokens": 80})), Some(80));
    assert_eq!(steps(json!({"max_output_tokens": "inf"})), None);
}

#[test]
fn an_answer_is_spoken_unless_text_alone_is_wanted() {
    let spoken = |modalities: Value| {
        settings(json!({"output_modalities": modalities}))
            .reply
            .spoken
    };
    assert!(spoken(json!(["audio"])) && !spoken(json!(["text"])));
}

#[test]
fn what_is_wrong_is_refused() {
    let input = |input: Value| json!({"audio": {"input": input}});
    for bad in [
        json!([]),
        json!({"modalities": ["audio"]}),
        json!({"voice": "alloy"}),
        json!({"type": "transcription"}),
        json!({"output_modalities": []}),
        json!({"output_modalities": ["video"]}),
        json!({"output_modalities": ["text", "audio"]}),
        json!({"max_output_tokens": 0}),
        json!({"max_output_tokens": "many"}),
        json!({"audio": 5}),
        input(json!({"format": {"type": "audio/pcm", "rate": 16000}})),
        input(json!({"format": {"type": "pcm16"}})),
        input(json!({"turn_detection": {"type": "client_vad"}})),
        input(json!({"turn_detection": {"type": "server_vad", "threshold": 1.5}})),
        input(json!({"turn_detection": {"type": "server_vad", "silence_duration_ms": 20000}})),
        input(json!({"turn_detection": {"type": "server_vad", "silence_duration_ms": -1}})),
    ] {
        assert!(update(&session(), bad.clone()).is_err(), "{bad}");
    }
}

#[test]
fn what_has_the_shape_of_a_session_is_read() {
    for all in [true, false] {
        let mut change = sample(&SESSION, all);
        if all {
            change["output_modalities"] = json!(["text"]);
            change["audio"]["input"]["format"]["rate"] = json!(24_000);
            change["audio"]["output"]["format"]["rate"] = json!(24_000);
        }
        let told = update(&session(), change.clone());
        assert!(told.is_ok(), "{change}: {told:?}");
    }
}

#[test]
fn a_wrong_field_is_named_by_its_path() {
    let threshold = json!({"audio": {"input": {"turn_detection":
        {"type": "server_vad", "threshold": "loud"}}}});
    let refusal = update(&session(), threshold).expect_err("no number");
    let path = "session.audio.input.turn_detection.threshold";
    assert_eq!(refusal.param.as_deref(), Some(path));
    assert_eq!(refusal.message, format!("{path} is \"loud\", not a number"));
}
