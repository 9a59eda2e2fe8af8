//! The state, driven by hand: each trap that clients fall into is a test.

mod endings;
mod items;

use std::sync::Arc;

use mini_omni::session::{AnswerId, Settings, TurnId};
use mini_omni::{Ended, Pcm, Question};
use serde_json::{Value, json};

use super::{Dialogue, Key};
use crate::serve::realtime::client::{ClientEvent, Received, ResponseParams};
use crate::serve::realtime::outgoing::message;
use crate::serve::realtime::response::{End, Record};
use crate::serve::realtime::server::{ErrorBody, Reason, Usage};

const RATE: u32 = 24_000;
const ANSWER: Key = Key::Session(AnswerId(1));

fn dialogue() -> Dialogue {
    let mut dialogue = Dialogue::new("mini-omni-small".into(), Settings::default(), RATE);
    told(&mut dialogue);
    dialogue
}

/// What the client was told, as it reads it.
fn told(dialogue: &mut Dialogue) -> Vec<Value> {
    let events = dialogue.take();
    let read = |event| serde_json::from_str(&message(&event)).expect("JSON");
    events.into_iter().map(read).collect()
}

fn names(events: &[Value]) -> Vec<&str> {
    let name = |event: &'_ Value| event["type"].as_str().map(str::len);
    assert!(events.iter().all(|event| name(event).is_some()));
    events
        .iter()
        .filter_map(|event| event["type"].as_str())
        .collect()
}

fn question() -> Arc<Pcm> {
    Arc::new(Pcm::new(vec![0.1; 16_000], 16_000).expect("sound"))
}

fn record(ended: Ended) -> Record {
    Record {
        ended,
        usage: Usage::new([0, 60], [20, 140]),
    }
}

/// An event of the client, read like one.
fn client(event: Value) -> ClientEvent {
    Received::read(&event.to_string())
        .event
        .expect("a good event")
}

fn create_item(dialogue: &mut Dialogue, event: Value) -> Result<String, &'static str> {
    let ClientEvent::ItemCreate {
        previous_item_id,
        item,
    } = client(event)
    else {
        panic!("an item")
    };
    let made = dialogue.create_item(item, previous_item_id.as_deref());
    made.map(|(id, _)| id).map_err(|refusal| refusal.code)
}

fn params(response: Value) -> ResponseParams {
    match client(json!({"type": "response.create", "response": response})) {
        ClientEvent::ResponseCreate { response } => response.unwrap_or_default(),
        other => panic!("{other:?}"),
    }
}

/// One answer to one turn.
fn answered(dialogue: &mut Dialogue) -> Vec<Value> {
    dialogue.speech_started(TurnId(0), 120.0);
    dialogue.speech_stopped(TurnId(0), 1620.5, question());
    dialogue.answer_started(AnswerId(1));
    dialogue.text(ANSWER, "Par".into());
    dialogue.audio(ANSWER, &vec![0.1; 24_000]);
    dialogue.text(ANSWER, "is.".into());
    dialogue.audio(ANSWER, &vec![0.1; 24_000]);
    dialogue.ended(ANSWER, End::Done(record(Ended::Eoa)));
    told(dialogue)
}

#[test]
fn the_session_comes_first() {
    let mut dialogue = Dialogue::new("mini-omni-small".into(), Settings::default(), RATE);
    let events = told(&mut dialogue);
    assert_eq!(names(&events), ["session.created"]);
    let session = &events[0]["session"];
    assert_eq!(session["type"], "realtime");
    assert_eq!(session["object"], "realtime.session");
    assert_eq!(session["model"], "mini-omni-small");
    assert_eq!(session["output_modalities"], json!(["audio"]));
    let input = &session["audio"]["input"];
    assert_eq!(input["format"], json!({"type": "audio/pcm", "rate": 24000}));
    assert_eq!(input["turn_detection"]["silence_duration_ms"], 500);
    let nulls = ["transcription", "noise_reduction"];
    assert!(nulls.iter().all(|key| input.get(key) == Some(&Value::Null)));
}

#[test]
fn a_spoken_turn_is_told_in_the_protocols_order() {
    let events = answered(&mut dialogue());
    let expected = [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.output_audio_transcript.delta",
        "response.output_audio.delta",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ];
    assert_eq!(names(&events), expected);
    assert_eq!(events[0]["audio_start_ms"], 120);
    assert_eq!(events[1]["audio_end_ms"], 1620);
    assert_eq!(events[0]["item_id"], events[3]["item"]["id"]);
    assert_eq!(events[14]["transcript"], "Paris.");
    assert_eq!(
        events[15]["part"],
        json!({"type": "audio", "transcript": "Paris."})
    );
    let said = json!([{"type": "output_audio", "transcript": "Paris."}]);
    assert_eq!(events[18]["response"]["output"][0]["content"], said);
}

#[test]
fn every_event_has_its_own_id() {
    let events = answered(&mut dialogue());
    let mut ids: Vec<&str> = events
        .iter()
        .filter_map(|e| e["event_id"].as_str())
        .collect();
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), events.len());
}

#[test]
fn nulls_are_written() {
    let events = answered(&mut dialogue());
    let null = |event: &Value, key: &str| event.get(key) == Some(&Value::Null);
    assert!(
        null(&events[2], "previous_item_id"),
        "the first item has none before it"
    );
    assert!(null(&events[3], "previous_item_id"));
    for response in [&events[5]["response"], &events[18]["response"]] {
        assert!(null(response, "status_details") && null(response, "metadata"));
    }
    assert!(null(&events[5]["response"], "usage"));
    assert_eq!(events[7]["previous_item_id"], events[3]["item"]["id"]);
}

#[test]
fn the_end_counts_tokens_in_detail() {
    let events = answered(&mut dialogue());
    let usage = &events[18]["response"]["usage"];
    assert_eq!(usage["total_tokens"], 220);
    assert_eq!(usage["input_tokens"], 60);
    assert_eq!(usage["input_token_details"]["audio_tokens"], 60);
    assert_eq!(
        usage["input_token_details"]["cached_tokens_details"]["text_tokens"],
        0
    );
    assert_eq!(
        usage["output_token_details"],
        json!({"text_tokens": 20, "audio_tokens": 140})
    );
}

#[test]
fn an_answer_has_one_item_and_says_where_each_piece_belongs() {
    let events = answered(&mut dialogue());
    let created = &events[5]["response"]["id"];
    let item = &events[6]["item"]["id"];
    for event in &events[9..15] {
        assert_eq!((&event["response_id"], &event["item_id"]), (created, item));
        assert_eq!(
            (&event["output_index"], &event["content_index"]),
            (&json!(0), &json!(0))
        );
    }
}

#[test]
fn long_sound_comes_in_pieces_under_64_kib() {
    let mut dialogue = dialogue();
    dialogue.answer_started(AnswerId(1));
    dialogue.audio(ANSWER, &vec![0.1; 240_001]);
    let events = dialogue.take();
    let lengths = events.iter().map(|event| message(event).len());
    assert_eq!(events.len(), 4 + 11);
    assert!(lengths.max() < Some(64 << 10));
}

#[test]
fn the_telephones_sound_is_at_8_khz() {
    let mut dialogue = dialogue();
    let update =
        json!({"type": "realtime", "audio": {"output": {"format": {"type": "audio/pcmu"}}}});
    let update = update.as_object().cloned().expect("an object");
    dialogue.update(update).expect("a good update");
    let events = answered(&mut dialogue);
    let deltas = events
        .iter()
        .filter(|e| e["type"] == "response.output_audio.delta");
    // A byte a sample; four characters are three bytes.
    let bytes: usize = deltas
        .map(|e| e["delta"].as_str().map_or(0, base64_bytes))
        .sum();
    assert_eq!(bytes, 16_000);
}

fn base64_bytes(text: &str) -> usize {
    text.len() / 4 * 3 - text.matches('=').count()
}
