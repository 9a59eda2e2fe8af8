//! A client of the Realtime socket.

#![allow(dead_code)] // each test file uses its part

use std::net::TcpStream;
use std::path::Path;
use std::time::{Duration, Instant};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use tungstenite::client::IntoClientRequest;
use tungstenite::http::HeaderValue;
use tungstenite::protocol::WebSocketConfig;
use tungstenite::{Message, WebSocket};

use super::server::Server;

/// How long an event may take before a test fails; nothing is measured by it.
const PATIENCE: Duration = Duration::from_secs(60);
/// What the random model talks about for a minute.
pub const LONG: &str = "ee";
/// Hz.
pub const RATE: u32 = 24_000;
/// Samples that are sent at once: a tenth of a second.
const PIECE: usize = 2_400;
/// Behind a question, so that the pause ends it.
const PAUSE: usize = 36_000;

/// A client, and all that it was told.
pub struct Client {
    pub socket: WebSocket<TcpStream>,
    pub told: Vec<Value>,
    /// The conversation's response under way.
    active: Option<Value>,
}

impl Client {
    /// A client whose session was created.
    pub fn new(server: &Server) -> Client {
        let mut client = Client::with_headers(server, &[]);
        client.until("session.created");
        client
    }

    /// A client that hears the random model talk for a minute.
    pub fn in_mid_answer(server: &Server) -> Client {
        let mut client = Client::new(server);
        client.write(LONG);
        client.send(json!({"type": "response.create"}));
        client.until("response.output_audio.delta");
        client
    }

    /// A client that was let in, or told why not.
    pub fn with_headers(server: &Server, headers: &[(&'static str, &str)]) -> Client {
        let url = format!("ws://{}/v1/realtime?model=any", server.address);
        let mut request = url.into_client_request().expect("an address");
        for (name, value) in headers {
            let value = HeaderValue::from_str(value).expect("a header");
            request.headers_mut().insert(*name, value);
        }
        let config = WebSocketConfig::default().max_message_size(Some(64 << 20));
        let (socket, _) =
            tungstenite::client::client_with_config(request, server.connect(), Some(config))
                .expect("a socket");
        Client {
            socket,
            told: Vec::new(),
            active: None,
        }
    }

    /// The same, with some of its session changed.
    pub fn with_session(server: &Server, session: Value) -> Client {
        let mut client = Client::new(server);
        client.send(json!({"type": "session.update", "session": session}));
        client.until("session.updated");
        client
    }

    pub fn send(&mut self, event: Value) {
        self.send_text(&event.to_string());
    }

    pub fn send_text(&mut self, text: &str) {
        self.socket.send(Message::text(text)).expect("sent");
    }

    /// The next event; `None` once the server closed.
    pub fn next(&mut self) -> Option<Value> {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => {
                    let event: Value = serde_json::from_str(&text).expect("JSON");
                    self.keep(event.clone());
                    return Some(event);
                }
                Ok(Message::Close(_)) | Err(_) => return None,
                Ok(_) => {}
            }
        }
    }

    /// Keeps an event. One response of the conversation at a time is under way.
    fn keep(&mut self, event: Value) {
        let response = &event["response"];
        if response["conversation_id"].is_string() {
            let id = Some(response["id"].clone());
            match event["type"].as_str() {
                Some("response.created") => {
                    assert_eq!(std::mem::replace(&mut self.active, id), None)
                }
                Some("response.done") => assert_eq!(self.active.take(), id),
                _ => {}
            }
        }
        self.told.push(event);
    }

    /// Reads to the next event of that name.
    pub fn until(&mut self, name: &str) -> Value {
        let start = Instant::now();
        while let Some(event) = self.next() {
            if event["type"] == name {
                return event;
            }
            assert!(start.elapsed() < PATIENCE, "waited in vain for {name}");
        }
        panic!("the server closed before {name}: {:?}", self.names());
    }

    /// The code that the server closes with, behind all events.
    pub fn until_closed(&mut self) -> u16 {
        loop {
            match self.socket.read() {
                Ok(Message::Text(text)) => self.keep(serde_json::from_str(&text).expect("JSON")),
                Ok(Message::Close(frame)) => return frame.map_or(0, |frame| frame.code.into()),
                Ok(_) => {}
                Err(error) => panic!("closed without a reason: {error}"),
            }
        }
    }

    /// Names of what was told, in order.
    pub fn names(&self) -> Vec<&str> {
        self.told
            .iter()
            .filter_map(|event| event["type"].as_str())
            .collect()
    }

    /// All events of that name.
    pub fn all(&self, name: &str) -> Vec<&Value> {
        self.told
            .iter()
            .filter(|event| event["type"] == name)
            .collect()
    }

    /// Where the first event of that name came.
    pub fn place(&self, name: &str) -> usize {
        let place = self.names().iter().position(|told| *told == name);
        place.unwrap_or_else(|| panic!("no {name} in {:?}", self.names()))
    }

    /// Appends sound as fast as it goes.
    pub fn append(&mut self, samples: &[f32]) {
        for piece in samples.chunks(PIECE) {
            self.append_bytes(&pcm16(piece));
        }
    }

    /// The same as a microphone does, in real time.
    pub fn speak(&mut self, samples: &[f32]) {
        let start = Instant::now();
        for (i, piece) in samples.chunks(PIECE).enumerate() {
            let spoken = Duration::from_millis(100) * (i as u32 + 1);
            std::thread::sleep(spoken.saturating_sub(start.elapsed()));
            self.append_bytes(&pcm16(piece));
        }
    }

    pub fn append_bytes(&mut self, bytes: &[u8]) {
        let audio = STANDARD.encode(bytes);
        self.send(json!({"type": "input_audio_buffer.append", "audio": audio}));
    }

    /// Puts a written question into the conversation.
    pub fn write(&mut self, text: &str) {
        self.send(
            json!({"type": "conversation.item.create", "item": {"type": "message", "role": "user",
            "content": [{"type": "input_text", "text": text}]}}),
        );
    }

    /// Bytes of the sound that came.
    pub fn sound(&self) -> Vec<u8> {
        let deltas = self.all("response.output_audio.delta").into_iter();
        deltas.flat_map(|event| bytes(&event["delta"])).collect()
    }

    /// What the last answer says.
    pub fn transcript(&self) -> &str {
        let done = self.all("response.output_audio_transcript.done");
        done.last()
            .and_then(|event| event["transcript"].as_str())
            .expect("a transcript")
    }
}

/// The bytes of a field.
pub fn bytes(field: &Value) -> Vec<u8> {
    STANDARD
        .decode(field.as_str().expect("base64"))
        .expect("base64")
}

pub fn pcm16(samples: &[f32]) -> Vec<u8> {
    samples
        .iter()
        .flat_map(|x| ((x * 32_767.0) as i16).to_le_bytes())
        .collect()
}

/// A spoken question at a rate.
pub fn question(path: &Path, rate: u32) -> Vec<f32> {
    let pcm = mini_omni::audio::read(path).expect("sound");
    let pcm = mini_omni::audio::resample(&pcm, rate).expect("sound");
    pcm.samples().to_vec()
}

/// The same with the pause that ends it.
pub fn turn(path: &Path) -> Vec<f32> {
    let mut samples = question(path, RATE);
    samples.resize(samples.len() + PAUSE, 0.0);
    samples
}
