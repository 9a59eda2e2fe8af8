//! The Realtime socket, as a client sees it: turns, written questions, interruptions, cuts.

mod common;
#[path = "common/realtime.rs"]
mod realtime;
#[path = "common/server.rs"]
mod server;

use common::{bundled, bundled_question, model};
use realtime::{Client, LONG, bytes, question, turn};
use serde_json::{Value, json};
use server::Server;

fn by_hand() -> Value {
    json!({"type": "realtime", "audio": {"input": {"turn_detection": null}}})
}

fn is_silent(pcm16: &[u8]) -> bool {
    let (pairs, _) = pcm16.as_chunks::<2>();
    pairs
        .iter()
        .all(|&pair| i16::from_le_bytes(pair).abs() < 500)
}

#[test]
fn a_spoken_turn_is_answered_in_speech() {
    let server = Server::start(&bundled(), &[]);
    let mut client = Client::new(&server);
    assert_eq!(client.names(), ["session.created"]);
    client.append(&turn(&bundled_question()));
    let done = client.until("response.done");
    assert_eq!(done["response"]["status"], "completed");
    assert_eq!(client.transcript(), "The capital of France is Paris.");
    let sound = client.sound();
    assert!(
        sound.len() > 24_000 && !is_silent(&sound),
        "{} bytes",
        sound.len()
    );
    let order = [
        "input_audio_buffer.speech_started",
        "input_audio_buffer.speech_stopped",
        "input_audio_buffer.committed",
        "conversation.item.added",
        "conversation.item.done",
        "response.created",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_audio.delta",
        "response.output_audio.done",
        "response.output_audio_transcript.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.done",
    ];
    let places = order.map(|name| client.place(name));
    assert!(places.is_sorted(), "{:?}", client.names());
    assert_eq!(client.all("response.output_item.added").len(), 1);
    let usage = &done["response"]["usage"];
    let details = &usage["output_token_details"];
    assert!(
        usage["input_token_details"]["audio_tokens"].as_u64() > Some(0),
        "{usage}"
    );
    assert!(
        details["text_tokens"].as_u64() > Some(0) && details["audio_tokens"].as_u64() > Some(0)
    );
    assert_eq!(done["response"].get("status_details"), Some(&Value::Null));
    let committed = &client.all("input_audio_buffer.committed")[0];
    assert_eq!(committed.get("previous_item_id"), Some(&Value::Null));
    assert!(
        client
            .told
            .iter()
            .all(|event| event["event_id"].is_string())
    );
    let deltas = client.all("response.output_audio.delta");
    assert!(
        deltas
            .iter()
            .all(|event| event.to_string().len() < 64 << 10)
    );
}

#[test]
fn a_turn_that_is_ended_by_hand_waits_to_be_asked() {
    let server = Server::start(&bundled(), &[]);
    let mut client = Client::with_session(&server, by_hand());
    client.send(json!({"type": "input_audio_buffer.commit", "event_id": "too_soon"}));
    let error = client.until("error");
    assert_eq!(error["error"]["code"], "input_audio_buffer_commit_empty");
    assert_eq!(error["error"]["event_id"], "too_soon");
    client.append(&[0.1; 2_400]);
    client.send(json!({"type": "input_audio_buffer.clear"}));
    client.until("input_audio_buffer.cleared");
    client.append(&question(&bundled_question(), realtime::RATE));
    client.send(json!({"type": "input_audio_buffer.commit"}));
    client.until("conversation.item.done");
    let metadata = json!({"topic": "geography"});
    client.send(json!({"type": "response.create", "response": {"metadata": metadata}}));
    assert_eq!(
        client.until("response.created")["response"]["metadata"],
        metadata
    );
    client.until("response.done");
    assert_eq!(client.transcript(), "The capital of France is Paris.");
    assert!(client.all("input_audio_buffer.speech_started").is_empty());
}

#[test]
fn a_written_question_is_answered_in_text_where_text_is_wanted() {
    let server = Server::start(&bundled(), &[]);
    let session = json!({"type": "realtime", "output_modalities": ["text"]});
    let mut client = Client::with_session(&server, session);
    client.write("What is the capital of France?");
    client.until("conversation.item.done");
    client.send(json!({"type": "response.create"}));
    let done = client.until("response.done");
    let said = json!([{"type": "output_text", "text": "The capital of France is Paris."}]);
    assert_eq!(done["response"]["output"][0]["content"], said);
    assert_eq!(done["response"]["output_modalities"], json!(["text"]));
    assert!(client.sound().is_empty());
    // One answer of another kind, beside the conversation.
    client.send(
        json!({"type": "response.create", "response": {"conversation": "none",
        "output_modalities": ["audio"], "input": [{"type": "message", "role": "user",
        "content": [{"type": "input_text", "text": "What is the capital of Italy?"}]}]}}),
    );
    let done = client.until("response.done");
    assert_eq!(done["response"]["status"], "completed");
    assert_eq!(done["response"]["conversation_id"], Value::Null);
    assert!(
        client.transcript().contains("Rome"),
        "{}",
        client.transcript()
    );
    assert!(!client.sound().is_empty());
    assert_eq!(
        client.all("conversation.item.added").len(),
        2,
        "one question and its answer"
    );
}

#[test]
fn nothing_to_answer_is_an_answer_that_failed() {
    let server = Server::start(&bundled(), &[]);
    let mut client = Client::new(&server);
    client.send(json!({"type": "response.create"}));
    let response = &client.until("response.done")["response"];
    assert_eq!(response["status"], "failed");
    assert_eq!(response["status_details"]["error"]["code"], "no_question");
}

#[test]
fn speech_into_an_answer_ends_it() {
    let server = Server::start(&model(), &[]);
    let mut client = Client::in_mid_answer(&server);
    client.speak(&turn(&bundled_question()));
    client.until("input_audio_buffer.speech_started");
    let done = client.until("response.done");
    let details = &done["response"]["status_details"];
    assert_eq!(done["response"]["status"], "cancelled", "{details}");
    assert_eq!(details["type"], "cancelled");
    assert_eq!(details["reason"], "turn_detected");
    assert_eq!(done["response"]["output"][0]["status"], "incomplete");
    client.until("input_audio_buffer.committed");
    let created = client.until("response.created");
    assert_ne!(
        created["response"]["id"], done["response"]["id"],
        "the next turn is answered"
    );
}

#[test]
fn an_answer_is_cut_where_it_was_heard() {
    let server = Server::start(&bundled(), &[]);
    let mut client = Client::new(&server);
    client.write("What is the capital of France?");
    client.send(json!({"type": "response.create"}));
    let done = client.until("response.done");
    let item = done["response"]["output"][0]["id"].clone();
    let whole = client.sound().len() as u64 / 48;
    for (asked, cut) in [(1e9, whole), (800.0, 800), (-5.0, 0)] {
        client.send(
            json!({"type": "conversation.item.truncate", "item_id": item,
            "content_index": 0, "audio_end_ms": asked}),
        );
        let told = client.until("conversation.item.truncated");
        assert_eq!(
            (&told["audio_end_ms"], &told["item_id"]),
            (&json!(cut), &item)
        );
    }
    client.send(json!({"type": "conversation.item.retrieve", "item_id": item}));
    let kept = client.until("conversation.item.retrieved");
    assert_eq!(
        kept["item"]["content"][0]["transcript"], "",
        "nothing of it was heard"
    );
    client.send(json!({"type": "conversation.item.delete", "item_id": item}));
    assert_eq!(client.until("conversation.item.deleted")["item_id"], item);
    assert!(client.all("error").is_empty());
}

#[test]
fn an_answer_that_is_still_written_is_cut_and_its_item_deleted() {
    let server = Server::start(&model(), &[]);
    let mut client = Client::in_mid_answer(&server);
    let item = client.all("response.output_item.added")[0]["item"]["id"].clone();
    client.send(json!({"type": "conversation.item.truncate", "item_id": item, "audio_end_ms": 0}));
    client.until("conversation.item.truncated");
    client.send(json!({"type": "response.cancel"}));
    client.until("response.done");
    client.send(json!({"type": "conversation.item.retrieve", "item_id": item}));
    let kept = client.until("conversation.item.retrieved");
    assert_eq!(
        kept["item"]["content"][0]["transcript"], "",
        "nothing was heard"
    );
    let done = client.all("conversation.item.done").len();

    client.send(json!({"type": "response.create"}));
    let item = client.until("response.output_item.added")["item"]["id"].clone();
    client.send(json!({"type": "conversation.item.delete", "item_id": item}));
    client.until("conversation.item.deleted");
    client.send(json!({"type": "response.cancel"}));
    client.until("response.done");
    assert_eq!(client.all("conversation.item.done").len(), done);
    assert!(client.all("error").is_empty());
}

#[test]
fn each_of_two_turns_that_come_at_once_has_its_response() {
    let server = Server::start(&bundled(), &[]);
    let mut client = Client::new(&server);
    let turn = turn(&bundled_question());
    client.append(&[&turn[..], &turn[..]].concat());
    client.until("input_audio_buffer.committed");
    // The turn is answered by itself; another response is none of its business.
    client.send(json!({"type": "response.create"}));
    client.until("response.done");
    client.until("response.done");
    let done = client.all("response.done");
    let statuses = [0, 1].map(|i| done[i]["response"]["status"].as_str());
    assert_eq!(statuses, [Some("cancelled"), Some("completed")]);
    let details = &done[0]["response"]["status_details"];
    assert_eq!(details["reason"], "turn_detected");
    assert_eq!(client.all("response.created").len(), 2);
}

#[test]
fn an_answer_is_cancelled_and_the_next_one_waits_for_its_end() {
    let server = Server::start(&model(), &[]);
    let mut client = Client::in_mid_answer(&server);
    client.send(json!({"type": "response.create", "event_id": "second"}));
    let error = client.until("error");
    assert_eq!(
        error["error"]["code"],
        "conversation_already_has_active_response"
    );
    assert_eq!(error["error"]["event_id"], "second");
    client.send(json!({"type": "response.cancel"}));
    client.send(json!({"type": "response.create", "response": {"metadata": {"try": "3"}}}));
    let done = client.until("response.done");
    assert_eq!(done["response"]["status"], "cancelled");
    assert_eq!(
        done["response"]["status_details"]["reason"],
        "client_cancelled"
    );
    let created = client.until("response.created");
    assert_eq!(created["response"]["metadata"]["try"], "3");
    client.send(json!({"type": "response.cancel", "response_id": created["response"]["id"]}));
    client.until("response.done");
    client.send(json!({"type": "response.cancel"}));
    let error = client.until("error");
    assert_eq!(error["error"]["code"], "response_cancel_not_active");
}

#[test]
fn a_response_that_waits_for_the_end_of_another_is_cancelled_like_any() {
    let server = Server::start(&model(), &[]);
    let mut client = Client::in_mid_answer(&server);
    client.send(json!({"type": "response.cancel"}));
    client.send(json!({"type": "response.create", "response": {"metadata": {"try": "2"}}}));
    client.send(json!({"type": "response.cancel"}));
    client.until("response.done");
    let done = client.until("response.done");
    assert_eq!(done["response"]["metadata"]["try"], "2");
    assert_eq!(done["response"]["status"], "cancelled");
    assert!(client.all("error").is_empty());
}

#[test]
fn an_answer_has_no_more_tokens_than_asked_for() {
    let server = Server::start(&model(), &[]);
    let mut client = Client::new(&server);
    client.write(LONG);
    client.send(json!({"type": "response.create", "response": {"max_output_tokens": 40}}));
    let response = &client.until("response.done")["response"];
    assert_eq!(response["status"], "incomplete");
    assert_eq!(response["status_details"]["reason"], "max_output_tokens");
    assert_eq!(response["max_output_tokens"], 40);
}

#[test]
fn what_was_said_is_written_down_behind_its_answer() {
    let server = Server::start(&bundled(), &[]);
    let session =
        json!({"type": "realtime", "audio": {"input": {"transcription": {"model": "any"}}}});
    let mut client = Client::with_session(&server, session);
    client.append(&turn(&bundled_question()));
    let told = client.until("conversation.item.input_audio_transcription.completed");
    let said = told["transcript"].as_str().expect("words").to_lowercase();
    assert!(said.contains("capital of france"), "{said}");
    assert_eq!(told["usage"]["type"], "duration");
    assert_eq!(
        told["item_id"],
        client.all("input_audio_buffer.committed")[0]["item_id"]
    );
    let behind = client.place("conversation.item.input_audio_transcription.delta");
    assert!(
        client.place("response.done") < behind,
        "the answer goes first"
    );
}

/// G.711's µ-law, by its definition: of all codes the one whose sample is nearest.
fn mu_law(sample: f32) -> u8 {
    let decoded = |code: u8| {
        let code = !code;
        let magnitude = (((i32::from(code & 15) << 3) + 132) << (code >> 4 & 7)) - 132;
        (if code < 128 { magnitude } else { -magnitude }) as f32 / 32_768.0
    };
    let off = |code: &u8| (decoded(*code) - sample).abs();
    (0..=255)
        .min_by(|a, b| off(a).total_cmp(&off(b)))
        .expect("a code")
}

#[test]
fn the_telephones_sound_goes_both_ways() {
    let server = Server::start(&bundled(), &[]);
    let format = json!({"type": "audio/pcmu"});
    let session = json!({"type": "realtime", "audio":
        {"input": {"format": format, "turn_detection": null}, "output": {"format": format}}});
    let mut client = Client::with_session(&server, session);
    let codes: Vec<u8> = question(&bundled_question(), 8_000)
        .into_iter()
        .map(mu_law)
        .collect();
    client.append_bytes(&codes);
    client.send(json!({"type": "input_audio_buffer.commit"}));
    client.send(json!({"type": "response.create"}));
    client.until("response.done");
    assert_eq!(client.transcript(), "The capital of France is Paris.");
    let sound = client.sound();
    assert!(sound.len() > 8_000, "over a second");
    let loud = sound.iter().filter(|&&code| !code & 0x7f > 0x40).count();
    assert!(loud > 1_000, "{loud} loud samples of {}", sound.len());
}

#[test]
fn an_item_with_sound_is_a_question_too() {
    let server = Server::start(&bundled(), &[]);
    let mut client = Client::with_session(&server, by_hand());
    let pcm = realtime::pcm16(&question(&bundled_question(), realtime::RATE));
    let audio = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, &pcm);
    client.send(
        json!({"type": "conversation.item.create", "previous_item_id": "root", "item":
        {"id": "mine", "type": "message", "role": "user",
         "content": [{"type": "input_audio", "audio": audio}]}}),
    );
    assert_eq!(
        client.until("conversation.item.added")["item"]["id"],
        "mine"
    );
    client.send(json!({"type": "conversation.item.retrieve", "item_id": "mine"}));
    let kept = client.until("conversation.item.retrieved");
    assert_eq!(bytes(&kept["item"]["content"][0]["audio"]), pcm);
    client.send(json!({"type": "response.create"}));
    client.until("response.done");
    assert_eq!(client.transcript(), "The capital of France is Paris.");
}
