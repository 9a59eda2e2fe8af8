//! The session object, updated and read.

use serde_json::json;

use super::*;

fn session() -> SessionObject {
    SessionObject::new("sess_1".into(), "mini-omni-small".into())
}

fn updated(update: Value) -> SessionObject {
    session().updated(update).expect("a good update")
}

fn settings(update: Value) -> Settings {
    updated(update).settings(&Settings::default())
}

#[test]
fn an_update_leaves_what_it_does_not_name() {
    let first = json!({"type": "realtime", "instructions": "Be brief.",
        "audio": {"input": {"transcription": {"model": "whisper-1"}}, "output": {"voice": "marin"}}});
    let second = json!({"type": "realtime", "audio": {"output": {"speed": 1.5}}});
    let told = updated(first).updated(second).expect("a good update");
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
    let told = updated(padded).updated(other).expect("a good update");
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
    assert!(spoken(json!(["audio"])) && spoken(json!(["text", "audio"])));
    assert!(!spoken(json!(["text"])));
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
        let refused = session().updated(bad.clone());
        assert!(refused.is_err(), "{bad}");
    }
}
