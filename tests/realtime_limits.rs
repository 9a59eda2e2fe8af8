//! The Realtime socket and those who misuse it, and its own manners.

mod common;
#[path = "common/realtime.rs"]
mod realtime;
#[path = "common/server.rs"]
mod server;

use common::{bundled, bundled_question, model};
use realtime::{Client, LONG, turn};
use serde_json::{Value, json};
use server::Server;
use tungstenite::Message;

#[test]
fn what_cannot_be_read_is_an_error_and_the_socket_stays() {
    let server = Server::start(&bundled(), &[]);
    let mut client = Client::new(&server);
    let bad = [
        ("{", "invalid_json", None),
        ("[]", "invalid_json", None),
        (
            r#"{"type": "session.explode", "event_id": "e1"}"#,
            "invalid_value",
            Some("e1"),
        ),
        (
            r#"{"event_id": "e2"}"#,
            "missing_required_parameter",
            Some("e2"),
        ),
        (
            r#"{"type": "input_audio_buffer.append", "audio": "?", "event_id": "e3"}"#,
            "invalid_audio",
            Some("e3"),
        ),
        (
            r#"{"type": "input_audio_buffer.append", "audio": "AAAA", "event_id": "e4"}"#,
            "invalid_audio",
            Some("e4"),
        ),
        (
            r#"{"type": "conversation.item.retrieve", "item_id": "x", "event_id": "rci_x"}"#,
            "item_retrieve_invalid_item_id",
            Some("rci_x"),
        ),
        (
            r#"{"type": "session.update", "session": {"voice": "alloy"}, "event_id": "e5"}"#,
            "unknown_parameter",
            Some("e5"),
        ),
        (
            r#"{"type": "input_audio_buffer.append", "audio": 5, "event_id": "e6"}"#,
            "invalid_type",
            Some("e6"),
        ),
        (
            r#"{"type": "response.create", "response": {"conversation": "foo"}, "event_id": "e7"}"#,
            "invalid_value",
            Some("e7"),
        ),
        (
            r#"{"type": "response.create", "response": {"output_modalities": ["text", "audio"]}, "event_id": "e8"}"#,
            "invalid_value",
            Some("e8"),
        ),
        (
            r#"{"type": "response.create", "response": {"metadata": {"n": 1}}, "event_id": "e9"}"#,
            "invalid_type",
            Some("e9"),
        ),
    ];
    for (message, code, event_id) in bad {
        client.send_text(message);
        let error = &client.until("error")["error"];
        assert_eq!(
            (error["code"].as_str(), error["event_id"].as_str()),
            (Some(code), event_id)
        );
        assert_eq!(error["type"], "invalid_request_error");
        let sentence = error["message"].as_str().expect("a sentence");
        for rust in ["struct ", "enum ", "f64", "expected", "sequence", "variant"] {
            assert!(!sentence.contains(rust), "{sentence}");
        }
    }
    let long = "x".repeat(513);
    client.send(
        json!({"type": "conversation.item.create", "event_id": "e10",
        "item": {"id": long, "type": "message", "role": "user", "content": []}}),
    );
    let error = &client.until("error")["error"];
    assert_eq!(error["param"], "item.id");
    assert_eq!(
        error["message"],
        "item.id has 513 characters, and at most 512 are taken"
    );
    client
        .socket
        .send(Message::binary(vec![0, 159, 146, 150]))
        .expect("sent");
    assert_eq!(client.until("error")["error"]["code"], "invalid_json");
    client.write("What is the capital of France?");
    client.send(json!({"type": "response.create"}));
    assert_eq!(
        client.until("response.done")["response"]["status"],
        "completed"
    );
}

#[test]
fn a_message_has_at_most_16_mib() {
    let server = Server::start(&model(), &[]);
    let mut client = Client::new(&server);
    let message = |bytes: usize| {
        let padding = "x".repeat(bytes - 40);
        format!(r#"{{"event_id": "large", "type": "{padding}"}}"#)
    };
    client.send_text(&message(16 << 20));
    let error = client.until("error");
    assert_eq!(
        error["error"]["event_id"], "large",
        "it was read to its end"
    );
    // The server may close while the rest is being sent.
    let _ = client.socket.send(Message::text(message(20 << 20)));
    while client.next().is_some() {}
    server.wait_until("closed", || server.metric("mini_omni_conversations") == 0.0);
}

#[test]
fn pings_are_answered_while_the_model_computes() {
    let server = Server::start(&model(), &[]);
    let mut client = Client::in_mid_answer(&server);
    client
        .socket
        .send(Message::Ping("are you there".into()))
        .expect("sent");
    loop {
        match client.socket.read().expect("a message") {
            Message::Pong(said) => break assert_eq!(said, "are you there"),
            Message::Text(text) => assert!(!text.contains("response.done"), "too late"),
            _ => {}
        }
    }
}

#[test]
fn a_full_server_says_so_and_closes() {
    let server = Server::start(&model(), &["--conversations", "1"]);
    let first = Client::new(&server);
    let mut second = Client::with_headers(&server, &[]);
    assert_eq!(second.until_closed(), 1013);
    assert_eq!(second.names(), ["error"]);
    let error = &second.told[0]["error"];
    assert_eq!(
        (&error["type"], &error["code"]),
        (&json!("server_error"), &json!("server_full"))
    );
    drop(first);
    server.wait_until("room", || server.metric("mini_omni_conversations") == 0.0);
    Client::new(&server);
}

#[test]
fn a_browser_gives_its_token_as_a_subprotocol() {
    let server = Server::listening(&model(), &[], &[("MINI_OMNI_TOKEN", "s3cret")]);
    server.wait_until("ready", || server.get("/readyz").status == 200);
    let protocols = "realtime, openai-insecure-api-key.s3cret";
    let mut client = Client::with_headers(&server, &[("Sec-WebSocket-Protocol", protocols)]);
    client.until("session.created");
    let mut client = Client::with_headers(&server, &[("Authorization", "Bearer s3cret")]);
    client.until("session.created");
    let url = format!("ws://{}/v1/realtime", server.address);
    let refused = tungstenite::client(url.as_str(), server.connect());
    assert!(refused.is_err_and(|error| error.to_string().contains("401")));
}

#[test]
fn the_log_tells_a_conversation_at_its_end() {
    let server = Server::start(&bundled(), &["--log", "json", "--conversations", "1"]);
    let mut client = Client::new(&server);
    client.append(&turn(&bundled_question()));
    client.until("response.done");
    let mut refused = Client::with_headers(&server, &[]);
    assert_eq!(refused.until("error")["error"]["code"], "server_full");
    let full = "mini_omni_refusals_total{reason=\"server_full\"}";
    assert_eq!(server.metric(full), 1.0);
    drop(client);
    let line: Value = serde_json::from_str(&server.logged("conversation")).expect("an object");
    let told = (&line["turns"], &line["answers"], &line["reason"]);
    assert_eq!(told, (&json!(1), &json!(1), &json!("client_gone")));
    assert!(
        line["conversation"]
            .as_str()
            .is_some_and(|id| id.starts_with("sess_"))
    );
    assert!(
        line["seconds"]
            .as_f64()
            .is_some_and(|seconds| seconds > 0.0)
    );
}

#[test]
fn a_client_that_is_gone_leaves_its_place() {
    let server = Server::start(&model(), &["--idle-timeout", "1"]);
    // It reads nothing, so it answers no ping either.
    let silent = Client::new(&server);
    server.wait_until("closed", || server.metric("mini_omni_conversations") == 0.0);
    drop(silent);
    drop(Client::in_mid_answer(&server));
    server.wait_until("closed", || server.metric("mini_omni_conversations") == 0.0);
    server.wait_until("cancelled", || server.metric("mini_omni_answers") == 0.0);
}

#[test]
fn a_client_that_hangs_up_in_mid_answer_is_answered_and_counted() {
    let server = Server::start(&model(), &[]);
    let mut client = Client::in_mid_answer(&server);
    client.socket.close(None).expect("closed");
    let closed = loop {
        match client.socket.read() {
            Ok(Message::Close(_)) => break true,
            Ok(_) => {}
            Err(_) => break false,
        }
    };
    assert!(closed, "its close was not answered");
    server.wait_until("counted", || {
        server.metric("mini_omni_cancelled_total") == 1.0
    });
}

#[test]
fn what_is_no_upgrade_is_refused_in_a_sentence() {
    let server = Server::start(&model(), &[]);
    server
        .get("/v1/realtime")
        .assert_refused(400, "invalid_request");
}

#[test]
fn what_is_no_websocket_ends_the_conversation_alone() {
    let server = Server::start(&model(), &[]);
    let mut client = Client::new(&server);
    // A frame of a kind that does not exist.
    std::io::Write::write_all(client.socket.get_mut(), &[0xff; 64]).expect("sent");
    assert_eq!(client.until_closed(), 1002);
    Client::new(&server);
}

#[test]
fn a_server_that_stops_lets_an_answer_end() {
    let mut server = Server::start(&model(), &[]);
    let mut client = Client::new(&server);
    client.write(LONG);
    client.send(json!({"type": "response.create", "response": {"max_output_tokens": 200}}));
    client.until("response.output_audio.delta");
    server.signal("-TERM");
    assert_eq!(client.until_closed(), 1001);
    assert_eq!(client.all("response.done").len(), 1, "{:?}", client.names());
    assert_eq!(
        client.told.last().expect("an error")["error"]["code"],
        "server_stopping"
    );
    assert!(server.ended().success());
}
