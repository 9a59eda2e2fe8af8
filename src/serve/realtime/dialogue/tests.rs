//! The state, driven by hand: each trap that clients fall into is a test.

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

#[test]
fn metadata_comes_back() {
    let mut dialogue = dialogue();
    let metadata = json!({"client_event_id": "response_create_1"});
    let plan = dialogue
        .plan(params(json!({"metadata": metadata})))
        .expect("a plan");
    dialogue.started(ANSWER, plan.outline);
    dialogue.ended(ANSWER, End::Done(record(Ended::Eoa)));
    for event in told(&mut dialogue) {
        assert_eq!(event["response"]["metadata"], metadata, "{event}");
    }
    let large = json!({"type": "response.create",
        "response": {"metadata": {"key": "x".repeat(513)}}});
    let refused = Received::read(&large.to_string())
        .event
        .expect_err("too large");
    assert_eq!(refused.param.as_deref(), Some("response.metadata.key"));
}

#[test]
fn items_of_the_client_are_acknowledged_where_it_put_them() {
    let mut dialogue = dialogue();
    let item = |id: &str, previous: Option<&str>| {
        json!({"type": "conversation.item.create", "previous_item_id": previous, "item":
            {"id": id, "type": "message", "role": "user",
             "content": [{"type": "input_text", "text": "Hello."}]}})
    };
    let places = [
        ("a", None, Value::Null),
        ("b", Some("root"), Value::Null),
        ("c", Some("b"), json!("b")),
        ("d", None, json!("a")),
    ];
    for (id, previous, before) in places {
        assert_eq!(
            create_item(&mut dialogue, item(id, previous)),
            Ok(id.into())
        );
        let events = told(&mut dialogue);
        assert_eq!(
            names(&events),
            ["conversation.item.added", "conversation.item.done"]
        );
        for event in &events {
            assert_eq!(event["previous_item_id"], before, "{id}");
            assert_eq!(event["item"]["id"], id);
            assert_eq!(event["item"]["status"], "completed");
        }
    }
    let twice = create_item(&mut dialogue, item("a", None));
    assert_eq!(twice, Err("item_create_duplicate_item_id"));
    let nowhere = create_item(&mut dialogue, item("e", Some("x")));
    assert_eq!(nowhere, Err("item_create_invalid_previous_item_id"));
}

#[test]
fn items_that_mini_omni_knows_nothing_of_are_kept() {
    let mut dialogue = dialogue();
    let call = json!({"type": "conversation.item.create", "item": {"type": "function_call_output",
        "call_id": "call_1", "output": "{}"}});
    let id = create_item(&mut dialogue, call).expect("kept");
    let item = &told(&mut dialogue)[0]["item"];
    assert_eq!(
        (&item["id"], &item["call_id"]),
        (&json!(id), &json!("call_1"))
    );
    let image = json!({"type": "conversation.item.create", "item": {"type": "message", "role": "user",
        "content": [{"type": "input_image", "image_url": "data:"}]}});
    assert_eq!(create_item(&mut dialogue, image), Err("invalid_value"));
    let large = json!({"type": "conversation.item.create", "item": {"type": "message", "role": "user",
        "content": [{"type": "input_text", "text": "x".repeat(70_000)}]}});
    assert_eq!(create_item(&mut dialogue, large), Err("item_too_large"));
}

#[test]
fn items_are_retrieved_with_their_sound_and_deleted() {
    let mut dialogue = dialogue();
    let id = dialogue.committed(TurnId(3), question());
    told(&mut dialogue);
    dialogue.retrieve_item(&id).expect("there");
    let item = &told(&mut dialogue)[0]["item"];
    // A second, at 24 kHz, in 16 bits.
    let audio = item["content"][0]["audio"].as_str().map_or(0, base64_bytes);
    assert_eq!(audio, 48_000);
    dialogue.delete_item(&id).expect("there");
    assert_eq!(told(&mut dialogue)[0]["item_id"], id);
    let gone = dialogue.retrieve_item(&id).expect_err("gone");
    assert_eq!(gone.code, "item_retrieve_invalid_item_id");
    let gone = dialogue.delete_item(&id).expect_err("gone");
    assert_eq!(gone.code, "item_delete_invalid_item_id");
}

#[test]
fn a_cut_stays_within_the_answer() {
    let mut dialogue = dialogue();
    let events = answered(&mut dialogue);
    let item = events[6]["item"]["id"].as_str().expect("an id").to_string();
    for (asked, ms, samples) in [
        (500.0, 500, 12_000),
        (-3.0, 0, 0),
        (1e9, 2_000, 48_000),
        (1999.9, 1999, 47_997),
    ] {
        let cut = dialogue.cut(&item, asked).expect("there");
        assert_eq!((cut.answer, cut.audio_end_ms), (AnswerId(1), ms));
        assert_eq!(cut.samples, samples);
    }
    let cut = dialogue.cut(&item, 700.0).expect("there");
    dialogue.truncated((item.clone(), 0), &cut, Some("Par".into()));
    dialogue.retrieve_item(&item).expect("there");
    let events = told(&mut dialogue);
    assert_eq!(
        names(&events),
        ["conversation.item.truncated", "conversation.item.retrieved"]
    );
    assert_eq!(events[0]["audio_end_ms"], 700);
    assert_eq!(events[1]["item"]["content"][0]["transcript"], "Par");
    let unknown = dialogue.cut("item_x", 1.0).expect_err("unknown");
    assert_eq!(unknown.code, "item_truncate_invalid_item_id");
}

#[test]
fn an_answer_that_is_cut_while_it_is_written_keeps_what_was_heard() {
    let mut dialogue = dialogue();
    dialogue.answer_started(AnswerId(1));
    dialogue.text(ANSWER, "Paris is".into());
    dialogue.audio(ANSWER, &[0.1; 24_000]);
    let events = told(&mut dialogue);
    let item = events[1]["item"]["id"].as_str().expect("an id").to_string();
    let cut = dialogue.cut(&item, 700.0).expect("there");
    dialogue.truncated((item.clone(), 0), &cut, Some("Paris".into()));
    dialogue.text(ANSWER, " far.".into());
    dialogue.ended(ANSWER, End::Done(record(Ended::Eoa)));
    told(&mut dialogue);
    dialogue.retrieve_item(&item).expect("there");
    let kept = &told(&mut dialogue)[0]["item"];
    assert_eq!(kept["content"][0]["transcript"], "Paris");
    assert_eq!(kept["status"], "completed");
}

#[test]
fn an_item_that_is_deleted_while_it_is_written_is_not_told_as_done() {
    let mut dialogue = dialogue();
    dialogue.answer_started(AnswerId(1));
    dialogue.text(ANSWER, "Paris".into());
    let events = told(&mut dialogue);
    let item = events[1]["item"]["id"].as_str().expect("an id").to_string();
    dialogue.delete_item(&item).expect("there");
    dialogue.ended(ANSWER, End::Done(record(Ended::Eoa)));
    let events = told(&mut dialogue);
    assert!(!names(&events).contains(&"conversation.item.done"));
    assert!(
        names(&events).ends_with(&["response.done"]),
        "the response goes on"
    );
    assert!(dialogue.retrieve_item(&item).is_err());
}

#[test]
fn an_answer_that_was_spoken_into_says_so() {
    let mut dialogue = dialogue();
    dialogue.answer_started(AnswerId(1));
    dialogue.text(ANSWER, "Paris is".into());
    dialogue.audio(ANSWER, &[0.1; 2_048]);
    dialogue.speech_started(TurnId(1), 3_000.0);
    dialogue.interrupted(AnswerId(1), "Paris".into());
    dialogue.ended(
        ANSWER,
        End::Cut(record(Ended::Cancelled), Reason::ClientCancelled),
    );
    let events = told(&mut dialogue);
    let done = &events.last().expect("an end")["response"];
    assert_eq!(done["status"], "cancelled");
    assert_eq!(
        done["status_details"],
        json!({"type": "cancelled", "reason": "turn_detected", "error": null})
    );
    assert_eq!(done["output"][0]["status"], "incomplete");
    let item = done["output"][0]["id"].as_str().expect("an id");
    dialogue.retrieve_item(item).expect("there");
    let kept = &told(&mut dialogue)[0]["item"];
    assert_eq!(kept["content"][0]["transcript"], "Paris", "as it was heard");
}

#[test]
fn an_answer_that_was_cancelled_says_so() {
    let mut dialogue = dialogue();
    let nothing = dialogue.cancel(None).expect_err("no answer");
    assert_eq!(nothing.code, "response_cancel_not_active");
    assert!(nothing.message.starts_with("Cancellation failed"));
    dialogue.answer_started(AnswerId(1));
    assert!(dialogue.cancel(Some("resp_x")).is_err());
    assert!(dialogue.is_answering() && !dialogue.is_cutting());
    assert_eq!(dialogue.cancel(None).expect("under way"), ANSWER);
    assert!(dialogue.is_cutting());
    dialogue.ended(
        ANSWER,
        End::Cut(record(Ended::Cancelled), Reason::ClientCancelled),
    );
    assert!(!dialogue.is_answering());
    let events = told(&mut dialogue);
    assert_eq!(
        names(&events),
        ["response.created", "response.done"],
        "nothing was said"
    );
    let response = &events[1]["response"];
    assert_eq!(response["status_details"]["reason"], "client_cancelled");
    assert_eq!(response["output"], json!([]));
}

#[test]
fn other_ends_have_their_reasons() {
    let unwilling = ErrorBody::server("busy", "too many");
    let ends = [
        (
            End::Done(record(Ended::Limit)),
            "incomplete",
            json!("max_output_tokens"),
            json!(null),
        ),
        (
            End::Done(record(Ended::NoSpeech)),
            "failed",
            json!(null),
            json!("no_speech"),
        ),
        (End::Failed(unwilling), "failed", json!(null), json!("busy")),
    ];
    for (end, status, reason, code) in ends {
        let mut dialogue = dialogue();
        dialogue.answer_started(AnswerId(1));
        dialogue.ended(ANSWER, end);
        let events = told(&mut dialogue);
        let response = &events[1]["response"];
        assert_eq!(response["status"], status);
        assert_eq!(response["status_details"]["type"], status);
        assert_eq!(response["status_details"]["reason"], reason);
        assert_eq!(response["status_details"]["error"]["code"], code);
        assert!(response["usage"]["output_token_details"].is_object());
    }
}

#[test]
fn a_written_answer_has_text_alone() {
    let mut dialogue = dialogue();
    let plan = dialogue
        .plan(params(json!({"output_modalities": ["text"]})))
        .expect("a plan");
    assert!(!plan.reply.spoken);
    dialogue.started(ANSWER, plan.outline);
    dialogue.text(ANSWER, "Paris.".into());
    dialogue.ended(ANSWER, End::Done(record(Ended::Eot)));
    let events = told(&mut dialogue);
    let expected = [
        "response.created",
        "response.output_item.added",
        "conversation.item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "conversation.item.done",
        "response.done",
    ];
    assert_eq!(names(&events), expected);
    assert_eq!(events[3]["part"], json!({"type": "text", "text": ""}));
    let item = &events[9]["response"]["output"][0];
    assert_eq!(
        item["content"],
        json!([{"type": "output_text", "text": "Paris."}])
    );
    let id = item["id"].as_str().expect("an id");
    assert!(dialogue.cut(id, 1.0).is_err(), "there is no sound to cut");
}

#[test]
fn the_last_question_is_the_one_that_is_answered() {
    let mut dialogue = dialogue();
    let nothing = dialogue.plan(ResponseParams::default()).expect("a plan");
    assert!(nothing.question.is_none());
    dialogue.committed(TurnId(1), question());
    let spoken = dialogue.plan(ResponseParams::default()).expect("a plan");
    assert!(matches!(spoken.question, Some(Question::Audio(_))));
    let text = json!({"type": "conversation.item.create", "item": {"type": "message", "role": "user",
        "content": [{"type": "input_text", "text": "Hello."}]}});
    create_item(&mut dialogue, text).expect("an item");
    let written = dialogue.plan(ResponseParams::default()).expect("a plan");
    assert!(matches!(written.question, Some(Question::Text(text)) if text == "Hello."));
}

#[test]
fn an_answer_beside_the_conversation_leaves_no_item() {
    let mut dialogue = dialogue();
    let id = dialogue.committed(TurnId(1), question());
    told(&mut dialogue);
    let own = json!({"conversation": "none", "input": [{"type": "message", "role": "user",
        "content": [{"type": "input_text", "text": "Which?"}]}]});
    let plan = dialogue.plan(params(own)).expect("a plan");
    assert!(matches!(plan.question, Some(Question::Text(_))));
    let key = Key::Beside(0);
    dialogue.started(key, plan.outline);
    dialogue.text(key, "That.".into());
    assert!(
        !dialogue.is_answering(),
        "another may be asked in the conversation"
    );
    dialogue.ended(key, End::Done(record(Ended::Eoa)));
    let events = told(&mut dialogue);
    assert!(
        names(&events)
            .iter()
            .all(|name| name.starts_with("response."))
    );
    assert_eq!(events[0]["response"]["conversation_id"], Value::Null);
    let referred = json!({"conversation": "none", "input": [{"type": "item_reference", "id": id}]});
    let plan = dialogue.plan(params(referred)).expect("a plan");
    assert!(matches!(plan.question, Some(Question::Audio(_))));
    let unknown = json!({"input": [{"type": "item_reference", "id": "item_x"}]});
    let refused = dialogue.plan(params(unknown)).expect_err("unknown");
    assert_eq!(refused.code, "invalid_item_reference");
    let empty = dialogue.plan(params(json!({"input": []}))).expect("a plan");
    assert!(empty.question.is_none(), "no input is no question");
}

#[test]
fn a_failure_to_begin_is_an_answer_that_failed() {
    let mut dialogue = dialogue();
    let plan = dialogue
        .plan(params(json!({"metadata": {"a": "b"}})))
        .expect("a plan");
    dialogue.failed(
        plan.outline,
        ErrorBody::invalid("no_question", "there is none"),
    );
    let events = told(&mut dialogue);
    assert_eq!(names(&events), ["response.created", "response.done"]);
    assert_eq!(events[0]["response"]["metadata"], json!({"a": "b"}));
    assert_eq!(
        events[1]["response"]["status_details"]["error"]["code"],
        "no_question"
    );
}

#[test]
fn an_error_names_the_clients_event() {
    let mut dialogue = dialogue();
    let received = Received::read(r#"{"type": "session.explode", "event_id": "e7"}"#);
    let refusal = received.event.expect_err("unknown");
    dialogue.refuse(received.event_id, *refusal);
    let events = told(&mut dialogue);
    assert_eq!(events[0]["error"]["event_id"], "e7");
    assert_eq!(events[0]["error"]["type"], "invalid_request_error");
    assert_eq!(events[0]["error"]["param"], "type");
}

#[test]
fn what_was_said_is_written_down() {
    let mut dialogue = dialogue();
    let id = dialogue.committed(TurnId(1), question());
    told(&mut dialogue);
    dialogue.transcript_delta(&id, "What ".into());
    dialogue.transcribed(id.clone(), "What is it?".into(), 1.0);
    dialogue.retrieve_item(&id).expect("there");
    let events = told(&mut dialogue);
    assert_eq!(events[0]["delta"], "What ");
    assert_eq!(events[1]["transcript"], "What is it?");
    assert_eq!(
        events[1]["usage"],
        json!({"type": "duration", "seconds": 1.0})
    );
    assert_eq!(events[2]["item"]["content"][0]["transcript"], "What is it?");
}
