//! The server where clients are too many, too slow, or gone, and where it is told to stop.
#![cfg(all(feature = "serve", unix))]

mod common;
#[path = "common/server.rs"]
mod server;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::process::ExitStatusExt;

use common::*;
use server::*;

const SIGTERM: i32 = 15;
const ASK: &str = r#"{"messages":[{"role":"user","content":"x"}]}"#;

#[test]
fn a_client_that_vanishes_gives_its_place_back_at_once() {
    let server = Server::start(&model(), &[]);
    let client = server.stalled();
    assert_eq!(server.metric("mini_omni_cancelled_total"), 0.0);
    drop(client);
    let none = |name: &str| server.metric(name) == 0.0;
    server.wait_until("left", || {
        none("mini_omni_conversations") && none("mini_omni_answers")
    });
    assert_eq!(server.metric("mini_omni_cancelled_total"), 1.0);
    let line = server.logged("path=/v1/chat/completions");
    assert!(line.ends_with("reason=client_gone"), "{line}");
}

#[test]
fn one_conversation_too_many_is_refused_at_once_and_taken_later() {
    let server = Server::start(&model(), &["--conversations", "1"]);
    let client = server.stalled();
    let reply = server.post("/v1/chat/completions", ASK);
    reply.assert_refused(503, "server_full");
    assert!(reply.head.contains("retry-after: 1"), "{}", reply.head);
    server
        .post("/chat", "{}")
        .assert_refused(503, "server_full");
    server.get("/readyz").assert_refused(503, "server_full");
    assert_eq!(server.get("/healthz").status, 200);
    drop(client);
    server.wait_until("there is room", || server.get("/readyz").status == 200);
    assert_eq!(server.post("/v1/chat/completions", ASK).status, 200);
    let full = r#"mini_omni_refusals_total{reason="server_full"}"#;
    assert!(server.metric(full) >= 3.0);
}

#[test]
fn a_client_that_takes_nothing_is_closed() {
    let server = Server::start(&model(), &["--idle-timeout", "1"]);
    let _client = server.stalled();
    server.wait_until("closed", || server.metric("mini_omni_conversations") == 0.0);
    assert_eq!(server.metric("mini_omni_slow_readers_total"), 1.0);
}

#[test]
fn a_client_that_does_not_send_what_it_announced_is_refused() {
    let server = Server::start(&model(), &["--idle-timeout", "1"]);
    let mut slow = server.connect();
    let head = "POST /chat HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n\r\n{";
    slow.write_all(head.as_bytes()).expect("sent");
    Reply::read(slow).assert_refused(408, "client_too_slow");
    let mut silent = server.connect();
    silent.write_all(b"GET /hea").expect("sent");
    let mut nothing = Vec::new();
    assert!(matches!(silent.read_to_end(&mut nothing), Ok(_) | Err(_)));
    assert_eq!(server.get("/healthz").status, 200);
}

#[test]
fn a_body_that_is_too_large_is_refused() {
    let server = Server::start(&model(), &["--max-body", "1"]);
    let body = "x".repeat((1 << 20) + 1);
    server
        .post("/chat", &body)
        .assert_refused(413, "body_too_large");
    server
        .post("/v1/audio/transcriptions", &body)
        .assert_refused(413, "body_too_large");
    let mut waits = server.connect();
    let head = "POST /chat HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
                Expect: 100-continue\r\nContent-Length: 9999999\r\n\r\n";
    waits.write_all(head.as_bytes()).expect("sent");
    Reply::read(waits).assert_refused(413, "body_too_large");
}

#[test]
fn a_recording_longer_than_allowed_is_refused() {
    let server = Server::start(&model(), &["--max-recording", "1"]);
    let file = std::fs::read(bundled_question()).expect("a recording");
    let reply = server.form("/v1/audio/transcriptions", &file, &[]);
    reply.assert_refused(400, "question_too_long");
}

#[test]
fn a_server_that_is_told_to_stop_ends_its_answers_first() {
    let mut server = Server::start(&model(), &[]);
    let client = server.stalled();
    server.signal("-TERM");
    server.wait_until("stopping", || server.get("/readyz").status == 503);
    server.get("/readyz").assert_refused(503, "server_stopping");
    server
        .post("/v1/chat/completions", ASK)
        .assert_refused(503, "server_stopping");
    let reply = Reply::read(client);
    assert!(
        reply.text().ends_with("data: [DONE]\n\n"),
        "the answer is whole"
    );
    assert_eq!(server.ended().code(), Some(0));
}

/// Whether this process was started to ignore a signal, as a shell's background jobs are: the server
/// that it starts ignores it, too.
fn is_ignored(signal: u32) -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.is_some_and(|mask| mask & (1 << (signal - 1)) != 0)
}

#[test]
fn an_idle_server_ends_when_it_is_told_to() {
    let signals = [("-TERM", 15), ("-INT", 2), ("-QUIT", 3)];
    for (signal, _) in signals.iter().filter(|(_, number)| !is_ignored(*number)) {
        let mut server = Server::start(&model(), &[]);
        let _idle = server.connect();
        server.signal(signal);
        assert_eq!(server.ended().code(), Some(0));
    }
}

#[test]
fn a_server_that_stops_waits_for_no_body_and_lets_nobody_wait() {
    let mut server = Server::start(&model(), &[]);
    let mut half = server.connect();
    half.write_all(&request("POST", "/chat", &[], &[b'x'; 100])[..150])
        .expect("a part");
    let mut head = server.connect();
    head.write_all(b"GET /healthz HTTP/1.1\r\nHo")
        .expect("a part");
    // Both have arrived before the signal.
    assert_eq!(server.get("/healthz").status, 200);
    server.signal("-TERM");
    Reply::read(half).assert_refused(503, "server_stopping");
    server.wait_until("refused by the system", || {
        TcpStream::connect(server.address).is_err()
    });
    drop(head);
    assert_eq!(server.ended().code(), Some(0));
}

#[test]
fn answers_have_only_so_long_once_the_server_stops() {
    let mut server = Server::start(&model(), &["--drain-timeout", "0"]);
    let _client = server.stalled();
    server.signal("-TERM");
    assert_eq!(server.ended().code(), Some(0));
}

#[test]
fn a_second_signal_ends_the_server_at_once() {
    let mut server = Server::start(&model(), &[]);
    let _client = server.stalled();
    server.signal("-TERM");
    server.wait_until("stopping", || server.get("/readyz").status == 503);
    server.signal("-TERM");
    assert_eq!(server.ended().signal(), Some(SIGTERM));
}
