//! Eight people talk with the server at once while others misuse it.
//!
//! The people behave: they push a recorded question in real time, listen to the answer as long as it
//! sounds, and ask again. Beside them clients vanish, stall, flood, and send garbage and half frames.
//! No turn of the people is lost, hardly one has a gap, the server's memory stays flat, and each
//! refusal has a type. `SOAK_SECONDS` says how long; `make soak` takes minutes. Without it gaps are
//! told and not judged: other tests' machines are not quiet.
#![cfg(all(feature = "serve", target_os = "linux"))]

mod common;
#[path = "common/realtime.rs"]
mod realtime;
#[path = "common/server.rs"]
mod server;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD as BASE64;
use common::{bundled, bundled_question};
use realtime::{pcm16, question};
use serde_json::{Value, json};
use server::Server;
use tungstenite::Message;
use tungstenite::stream::MaybeTlsStream;

const PEOPLE: usize = 8;
const SECONDS: u64 = 20;
/// Hz of the sound on the wire.
const RATE: usize = 24_000;
/// Real time is kept in pieces of 20 ms.
const PIECE: Duration = Duration::from_millis(20);
/// What a person's player gathers before it begins, as players do.
const PLAYER: Duration = Duration::from_millis(200);
/// An answer that has not begun by then is lost.
const PATIENCE: Duration = Duration::from_secs(20);
/// Gaps that are forgiven, of turns: a shared machine stands still at times.
const FORGIVEN: f64 = 0.02;
/// Memory is held against what it was by then.
const SETTLED: Duration = Duration::from_secs(300);
const MOST_GROWTH: f64 = 0.01;

type Socket = tungstenite::WebSocket<MaybeTlsStream<TcpStream>>;

/// What happened to all.
#[derive(Default)]
struct Tally {
    turns: AtomicUsize,
    /// Turns whose player ran dry.
    gaps: AtomicUsize,
    /// What went wrong for the people.
    faults: Mutex<Vec<String>>,
    refusals: AtomicUsize,
}

impl Tally {
    fn fault(&self, what: impl Into<String>) {
        self.faults.lock().expect("no panic").push(what.into());
    }
}

#[test]
fn people_are_served_whatever_others_do() {
    let asked = std::env::var("SOAK_SECONDS").ok();
    let seconds = asked
        .as_ref()
        .map_or(SECONDS, |s| s.parse().expect("seconds"));
    let server = Server::start(&bundled(), &["--conversations", "20"]);
    let tally = Arc::new(Tally::default());
    let over = Arc::new(AtomicBool::new(false));
    let question = Arc::new(question_pieces());
    let mut threads = Vec::new();
    for person in 0..PEOPLE {
        let (address, tally, over) = (server.address.to_string(), tally.clone(), over.clone());
        let question = question.clone();
        threads.push(std::thread::spawn(move || {
            // People do not begin to speak at the same moment.
            std::thread::sleep(Duration::from_millis(300 * person as u64));
            while !over.load(Ordering::Relaxed) {
                converse(&address, &question, &tally, &over);
            }
        }));
    }
    for misuse in [vanish, stall, flood, garbage, half_frames] {
        let (address, tally, over) = (server.address.to_string(), tally.clone(), over.clone());
        let question = question.clone();
        threads.push(std::thread::spawn(move || {
            while !over.load(Ordering::Relaxed) {
                misuse(&address, &question, &tally);
                std::thread::sleep(Duration::from_millis(500));
            }
        }));
    }
    let memory = watch(&server, Duration::from_secs(seconds));
    over.store(true, Ordering::Relaxed);
    for thread in threads {
        thread.join().expect("no client panics");
    }
    let turns = tally.turns.load(Ordering::Relaxed);
    let refusals = tally.refusals.load(Ordering::Relaxed);
    let gaps = tally.gaps.load(Ordering::Relaxed);
    let faults = tally.faults.lock().expect("no panic");
    println!("{turns} turns, {gaps} with a gap, {refusals} typed refusals, memory {memory:?} KiB");
    assert!(
        faults.is_empty(),
        "{} of {turns}: {:?}",
        faults.len(),
        &faults[..faults.len().min(9)]
    );
    assert!(turns >= PEOPLE, "{turns} turns");
    let most = FORGIVEN * turns as f64;
    assert!(asked.is_none() || gaps as f64 <= most, "{gaps} gaps");
    if let Some((settled, last)) = memory {
        let growth = last as f64 / settled as f64 - 1.0;
        assert!(
            growth < MOST_GROWTH,
            "memory grew by {:.2} %",
            100.0 * growth
        );
    }
}

/// The recorded question as the wire has it, in pieces of 20 ms, then silence that ends the turn.
fn question_pieces() -> Vec<String> {
    let mut samples = question(&bundled_question(), RATE as u32);
    samples.resize(samples.len() + RATE, 0.0);
    samples.chunks(RATE / 50).map(piece).collect()
}

fn piece(samples: &[f32]) -> String {
    let audio = BASE64.encode(pcm16(samples));
    json!({"type": "input_audio_buffer.append", "audio": audio}).to_string()
}

fn connect(address: &str) -> Option<Socket> {
    let url = format!("ws://{address}/v1/realtime?model=mini-omni-small");
    let (socket, _) = tungstenite::connect(url).ok()?;
    if let MaybeTlsStream::Plain(stream) = socket.get_ref() {
        stream.set_read_timeout(Some(PIECE / 4)).expect("a timeout");
    }
    Some(socket)
}

/// One person's conversation, until it is over or fails.
fn converse(address: &str, question: &[String], tally: &Tally, over: &AtomicBool) {
    let Some(mut socket) = connect(address) else {
        return tally.fault("a person was not let in");
    };
    while !over.load(Ordering::Relaxed) {
        match turn(&mut socket, question) {
            Ok(heard) => {
                tally.turns.fetch_add(1, Ordering::Relaxed);
                tally.gaps.fetch_add(heard.gap.into(), Ordering::Relaxed);
            }
            Err(fault) => return tally.fault(fault),
        }
    }
    let _ = socket.close(None);
}

/// Asks in real time and listens to the end of the answer.
fn turn(socket: &mut Socket, question: &[String]) -> Result<Heard, String> {
    let mut heard = Heard::default();
    let start = Instant::now();
    for (i, piece) in question.iter().enumerate() {
        let due = start + PIECE * i as u32;
        std::thread::sleep(due.saturating_duration_since(Instant::now()));
        socket
            .send(Message::text(piece))
            .map_err(|e| format!("cannot ask: {e}"))?;
        heard.listen(socket)?;
    }
    let asked = Instant::now();
    while !heard.is_over() {
        heard.listen(socket)?;
        heard.gap |= heard.is_dry();
        if heard.began.is_none() && asked.elapsed() > PATIENCE {
            return Err("a turn was lost: no answer began".into());
        }
    }
    match heard.text.is_empty() {
        true => Err("an answer has no words".into()),
        false => Ok(heard),
    }
}

/// What has come of an answer.
#[derive(Default)]
struct Heard {
    began: Option<Instant>,
    samples: usize,
    text: String,
    done: bool,
    gap: bool,
}

impl Heard {
    fn listen(&mut self, socket: &mut Socket) -> Result<(), String> {
        loop {
            let message = match socket.read() {
                Ok(Message::Text(text)) => text,
                Ok(_) => continue,
                Err(tungstenite::Error::Io(e)) if is_timeout(&e) => return Ok(()),
                Err(e) => return Err(format!("the socket failed: {e}")),
            };
            let event: Value = serde_json::from_str(&message).map_err(|e| e.to_string())?;
            match event["type"].as_str().unwrap_or("") {
                "response.output_audio.delta" => {
                    let bytes = BASE64.decode(event["delta"].as_str().unwrap_or(""));
                    self.samples += bytes.map_err(|e| e.to_string())?.len() / 2;
                    self.began.get_or_insert_with(Instant::now);
                }
                "response.output_audio_transcript.delta" => {
                    self.text += event["delta"].as_str().unwrap_or("");
                }
                "response.done" => {
                    let status = &event["response"]["status"];
                    if status != "completed" {
                        return Err(format!("an answer ended as {status}"));
                    }
                    self.done = true;
                }
                "error" => return Err(format!("an error: {}", event["error"])),
                _ => {}
            }
        }
    }

    /// Whether the player of this person has nothing to play and more is to come.
    fn is_dry(&self) -> bool {
        let Some(began) = self.began.filter(|_| !self.done) else {
            return false;
        };
        let playing = began.elapsed().saturating_sub(PLAYER);
        (playing.as_secs_f64() * RATE as f64) as usize > self.samples
    }

    /// Whether the answer has come and sounded to its end.
    fn is_over(&self) -> bool {
        let sounds = Duration::from_secs_f64(self.samples as f64 / RATE as f64);
        self.done && self.began.is_none_or(|began| began.elapsed() >= sounds)
    }
}

fn is_timeout(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{TimedOut, WouldBlock};
    matches!(error.kind(), TimedOut | WouldBlock)
}

/// Asks all at once, and goes away as the answer begins.
fn vanish(address: &str, question: &[String], _: &Tally) {
    let Some(mut socket) = connect(address) else {
        return;
    };
    for piece in question {
        if socket.send(Message::text(piece)).is_err() {
            return;
        }
    }
    std::thread::sleep(Duration::from_millis(700));
}

/// Asks again and again and never reads.
fn stall(address: &str, question: &[String], _: &Tally) {
    let Some(mut socket) = connect(address) else {
        return;
    };
    let asked = Instant::now();
    while asked.elapsed() < Duration::from_secs(10) {
        for piece in question {
            if socket.send(Message::text(piece)).is_err() {
                return;
            }
        }
        std::thread::sleep(Duration::from_secs(1));
    }
}

/// Pushes an hour of sound as fast as it can.
fn flood(address: &str, _: &[String], tally: &Tally) {
    let Some(mut socket) = connect(address) else {
        return;
    };
    let second = piece(&vec![0.1; RATE]);
    let began = Instant::now();
    while began.elapsed() < Duration::from_secs(3) {
        if socket.send(Message::text(&second)).is_err() {
            break;
        }
    }
    count_refusals(&mut socket, tally);
}

/// Sends what is no event.
fn garbage(address: &str, _: &[String], tally: &Tally) {
    let Some(mut socket) = connect(address) else {
        return;
    };
    let texts = [
        "",
        "{",
        "[]",
        "null",
        "{\"type\":7}",
        "{\"type\":\"no.such.event\"}",
    ];
    for text in texts {
        let _ = socket.send(Message::text(text));
    }
    let audio = json!({"type": "input_audio_buffer.append", "audio": "!!!"});
    let _ = socket.send(Message::text(audio.to_string()));
    let _ = socket.send(Message::binary(vec![0xFF; 1000]));
    std::thread::sleep(Duration::from_millis(300));
    count_refusals(&mut socket, tally);
}

/// A refusal that has no type is a fault.
fn count_refusals(socket: &mut Socket, tally: &Tally) {
    while let Ok(message) = socket.read() {
        let Message::Text(text) = message else {
            continue;
        };
        let event: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
        if event["type"] != "error" {
            continue;
        }
        let typed = event["error"]["type"].is_string() && event["error"]["message"].is_string();
        match typed {
            true => {
                tally.refusals.fetch_add(1, Ordering::Relaxed);
            }
            false => tally.fault(format!("a refusal without a type: {event}")),
        }
    }
}

/// Begins requests and frames, and leaves them unfinished.
fn half_frames(address: &str, _: &[String], _: &Tally) {
    let beginnings: [&[u8]; 4] = [
        b"GET /v1/realtime HTTP/1.1\r\nHost: ",
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000\r\n\r\n{",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"\0\0\0\0",
    ];
    for beginning in beginnings {
        let Ok(mut stream) = TcpStream::connect(address) else {
            return;
        };
        let _ = stream.write_all(beginning);
        let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
        let _ = stream.read(&mut [0; 64]);
    }
    let Some(mut socket) = connect(address) else {
        return;
    };
    if let MaybeTlsStream::Plain(stream) = socket.get_mut() {
        // A text frame of 64 KiB, of which a few bytes come.
        let _ = stream.write_all(&[0x81, 0xFE, 0xFF, 0xFF, 1, 2, 3, 4, 5, 6]);
    }
    std::thread::sleep(Duration::from_millis(200));
}

/// Lets time pass; the server's memory when it had settled and at the end, KiB, where it ran so long.
fn watch(server: &Server, time: Duration) -> Option<(u64, u64)> {
    let start = Instant::now();
    let mut settled = None;
    while start.elapsed() < time {
        std::thread::sleep(Duration::from_secs(1));
        if start.elapsed() >= SETTLED {
            settled.get_or_insert_with(|| memory(server.process.id()));
        }
    }
    settled.map(|settled| (settled, memory(server.process.id())))
}

/// Resident memory of a process, KiB.
fn memory(id: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{id}/status")).expect("it lives");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let number = line.and_then(|line| line.split_whitespace().next()?.parse().ok());
    number.expect("a number of KiB")
}

#[test]
fn a_server_that_was_killed_serves_again_at_once() {
    let mut server = Server::start_at(&bundled(), a_lasting_address(), &[]);
    let mut socket = connect(&server.address.to_string()).expect("it lets in");
    for piece in question_pieces() {
        socket.send(Message::text(piece)).expect("sent");
    }
    while !socket
        .read()
        .is_ok_and(|m| m.to_string().contains("output_audio.delta"))
    {}
    server.process.kill().expect("killed");
    server.process.wait().expect("its end");
    let start = Instant::now();
    let again = Server::start_at(&bundled(), server.address, &[]);
    let time = start.elapsed().as_secs_f64();
    println!("serves again {time:.2} s after kill -9");
    assert!(connect(&again.address.to_string()).is_some());
}

/// A free address that no client's connection is given while the server is down: the kernel gives
/// those ports from 32768 up.
fn a_lasting_address() -> SocketAddr {
    (20_000..30_000)
        .map(|port| SocketAddr::from(([127, 0, 0, 1], port)))
        .find(|&address| TcpListener::bind(address).is_ok())
        .expect("a free port")
}
