//! The server's answers over HTTP: the real process, real sockets.
#![cfg(feature = "serve")]

mod common;
#[path = "common/server.rs"]
mod server;

use std::fs;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

use common::*;
use server::*;

const QUESTION: &str = "What is the capital of France?";
const ANSWER: &str = "The capital of France is Paris.";

fn bundled_server() -> Server {
    Server::start(&bundled(), &[])
}

fn recording() -> Vec<u8> {
    fs::read(bundled_question()).expect("a recording")
}

/// A message that asks with the recording.
fn spoken() -> Value {
    let data = STANDARD.encode(recording());
    let part = json!({"type": "input_audio", "input_audio": {"data": data, "format": "wav"}});
    json!([{"role": "user", "content": [part]}])
}

fn complete(server: &Server, body: Value) -> Reply {
    server.post("/v1/chat/completions", &body.to_string())
}

fn bytes(base64: &Value) -> Vec<u8> {
    STANDARD
        .decode(base64.as_str().expect("text"))
        .expect("base64")
}

#[test]
fn a_written_question_is_answered_in_text() {
    let server = bundled_server();
    let messages = json!([
        {"role": "system", "content": "Be kind."},
        {"role": "user", "content": "Who are you?"},
        {"role": "assistant", "content": "I am."},
        {"role": "user", "content": [{"type": "text", "text": QUESTION}]},
    ]);
    let body = json!({"model": "any", "messages": messages, "metadata": {"a": "b"}, "tools": []});
    let reply = complete(&server, body);
    assert_eq!(reply.status, 200, "{}", reply.text());
    let completion = reply.json();
    assert_eq!(completion["object"], "chat.completion");
    assert_eq!(completion["model"], "mini-omni-small");
    let choice = &completion["choices"][0];
    assert_eq!(choice["message"]["content"], ANSWER);
    assert_eq!(choice["finish_reason"], "stop");
    let usage = &completion["usage"];
    assert_eq!(usage["completion_tokens_details"]["audio_tokens"], 0);
    let counts = ["prompt_tokens", "completion_tokens", "total_tokens"];
    let [read, written, total] = counts.map(|name| usage[name].as_u64().expect("a number"));
    assert!(
        read > 0 && written > 0 && total == read + written,
        "{usage}"
    );
    let line = server.logged("path=/v1/chat/completions");
    assert!(
        line.contains("method=POST") && line.contains("status=200 "),
        "{line}"
    );
    assert!(
        !line.contains("France") && !line.contains("Paris"),
        "{line}"
    );
}

#[test]
fn a_spoken_answer_is_the_same_whole_streamed_and_as_the_original_sends_it() {
    let server = bundled_server();
    let body = json!({"messages": spoken(), "modalities": ["text", "audio"],
                      "audio": {"voice": "alloy", "format": "wav"}});
    let completion = complete(&server, body).json();
    let message = &completion["choices"][0]["message"];
    assert_eq!(message["content"], Value::Null);
    assert_eq!(message["audio"]["transcript"], ANSWER);
    let wav = bytes(&message["audio"]["data"]);
    let wav = hound::WavReader::new(&*wav).expect("a wav");
    assert_eq!(wav.spec().sample_rate, 24_000);
    let samples: Vec<i16> = wav.into_samples().map(|s| s.expect("a sample")).collect();
    let whole: Vec<u8> = samples.iter().flat_map(|s| s.to_le_bytes()).collect();
    assert!(samples.len() > 24_000, "{} samples", samples.len());

    let body = json!({"messages": spoken(), "modalities": ["text", "audio"], "stream": true,
                      "audio": {"voice": "alloy", "format": "pcm16"},
                      "stream_options": {"include_usage": true}});
    let reply = complete(&server, body);
    assert!(
        reply.head.contains("content-type: text/event-stream"),
        "{}",
        reply.head
    );
    assert!(reply.text().ends_with("data: [DONE]\n\n"));
    let (mut words, mut sound) = (String::new(), Vec::new());
    let events = reply.events();
    for audio in events
        .iter()
        .map(|event| &event["choices"][0]["delta"]["audio"])
    {
        words += audio["transcript"].as_str().unwrap_or_default();
        sound.extend(audio.get("data").map(bytes).unwrap_or_default());
    }
    assert_eq!(words, ANSWER);
    assert!(sound == whole, "the streamed sound is the whole one");
    let one = |name: &str| events.iter().all(|event| event[name] == events[0][name]);
    assert!(one("id") && one("created") && one("model"));
    let [.., end, usage] = &events[..] else {
        panic!("{events:?}");
    };
    assert_eq!(end["choices"][0]["finish_reason"], "stop");
    assert_eq!(usage["choices"], json!([]));
    assert_eq!(usage["usage"], completion["usage"]);

    let audio = STANDARD.encode(recording());
    let chat = json!({"audio": audio, "stream_stride": 4, "max_tokens": 2048});
    let reply = server.post("/chat", &chat.to_string());
    assert!(
        reply
            .head
            .contains("content-type: audio/pcm; rate=24000; channels=1"),
        "{}",
        reply.head
    );
    assert!(!reply.head.contains("content-length"), "{}", reply.head);
    assert!(reply.body == whole, "the original's clients hear the same");

    assert_eq!(server.metric("mini_omni_first_audio_seconds_count"), 3.0);
    assert_eq!(server.metric("mini_omni_answers_total"), 3.0);
    assert_eq!(server.metric("mini_omni_answers"), 0.0);
}

#[test]
fn an_answer_is_cut_where_it_is_asked_to_be() {
    let server = bundled_server();
    let ask = |extra: Value| {
        let mut body = json!({"messages": [{"role": "user", "content": QUESTION}]});
        body.as_object_mut()
            .expect("fields")
            .extend(extra.as_object().expect("fields").clone());
        complete(&server, body).json()["choices"][0].clone()
    };
    for field in ["max_tokens", "max_completion_tokens"] {
        let cut = ask(json!({field: 2}));
        assert_eq!(cut["message"]["content"], "The capital");
        assert_eq!(cut["finish_reason"], "length");
    }
    let drawn = |seed: u64| ask(json!({"temperature": 2, "top_p": 0.99, "seed": seed}));
    assert_eq!(drawn(7), drawn(7), "a seed is kept to");
    assert!(
        (1..9).any(|seed| drawn(seed) != drawn(9)),
        "and makes a difference"
    );
}

#[test]
fn a_recording_is_transcribed_in_every_format() {
    let server = bundled_server();
    let ask = |format: &str| {
        let fields = [("model", "any"), ("response_format", format)];
        let reply = server.form("/v1/audio/transcriptions", &recording(), &fields);
        assert_eq!(reply.status, 200, "{}", reply.text());
        reply
    };
    assert_eq!(ask("json").json()["text"], QUESTION);
    assert_eq!(ask("text").text(), format!("{QUESTION}\n"));
    let verbose = ask("verbose_json").json();
    assert_eq!(verbose["segments"][0]["text"], QUESTION);
    assert_eq!(verbose["duration"], verbose["segments"][0]["end"]);
    assert_eq!(verbose["language"], "english");
    assert_eq!(verbose["segments"][0]["seek"], 0);
    let tokens = verbose["segments"][0]["tokens"].as_array();
    assert!(tokens.is_some_and(|tokens| tokens.len() > 3), "{verbose}");
    assert!(ask("srt").text().starts_with("1\n00:00:00,000 --> 00:00:0"));
    let vtt = ask("vtt");
    assert!(vtt.text().starts_with("WEBVTT\n\n00:00:00.000 --> "));
    assert!(
        vtt.head.contains("content-type: text/plain"),
        "{}",
        vtt.head
    );

    let fields = [("stream", "true")];
    let events = server
        .form("/v1/audio/transcriptions", &recording(), &fields)
        .events();
    let (done, deltas) = events.split_last().expect("events");
    assert!(
        deltas
            .iter()
            .all(|event| event["type"] == "transcript.text.delta")
    );
    let words: String = deltas
        .iter()
        .filter_map(|event| event["delta"].as_str())
        .collect();
    assert_eq!(
        (words.as_str(), &done["text"]),
        (QUESTION, &json!(QUESTION))
    );
    assert_eq!(done["type"], "transcript.text.done");
}

#[test]
fn what_a_form_says_is_taken_or_refused() {
    let server = Server::start(&model(), &[]);
    let refused = |fields: &[(&str, &str)], code: &str| {
        let reply = server.form("/v1/audio/transcriptions", &recording(), fields);
        reply.assert_refused(400, code);
    };
    refused(&[("stream", "maybe")], "invalid_request");
    refused(&[("temperature", "warm")], "invalid_request");
    refused(&[("timestamp_granularities[]", "word")], "unsupported");
    refused(
        &[("timestamp_granularities[]", "letter")],
        "invalid_request",
    );
    for format in ["srt", "vtt", "text", "verbose_json"] {
        refused(
            &[("response_format", format), ("stream", "true")],
            "unsupported",
        );
    }
}

#[test]
fn a_recording_longer_than_the_model_hears_is_transcribed_in_pieces() {
    let server = bundled_server();
    let mut wav = hound::WavReader::open(bundled_question()).expect("a wav");
    let rate = wav.spec().sample_rate as usize;
    let speech: Vec<f32> = match wav.spec().sample_format {
        hound::SampleFormat::Float => wav.samples::<f32>().map(|s| s.expect("one")).collect(),
        hound::SampleFormat::Int => wav
            .samples::<i16>()
            .map(|s| f32::from(s.expect("one")) / 32768.0)
            .collect(),
    };
    let mut long = speech.clone();
    long.resize(35 * rate, 0.0);
    long.extend_from_slice(&speech);
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("long.wav");
    write_wav(&path, rate as u32, &long);
    let file = fs::read(path).expect("a file");
    let fields = [("response_format", "verbose_json")];
    let said = server
        .form("/v1/audio/transcriptions", &file, &fields)
        .json();
    assert_eq!(said["text"], format!("{QUESTION} {QUESTION}"));
    let segments = said["segments"].as_array().expect("segments");
    assert_eq!(segments.len(), 2, "{said}");
    let times = |n: usize| ["start", "end"].map(|end| segments[n][end].as_f64().expect("seconds"));
    assert!(times(0)[1] <= 30.0 && times(1)[0] == times(0)[1], "{said}");
}

#[test]
fn what_a_mini_omni_cannot_do_is_refused_in_a_sentence() {
    let server = Server::start(&model(), &[]);
    let user = json!([{"role": "user", "content": "hi"}]);
    let audio = ["text", "audio"];
    for (param, body) in [
        ("n", json!({"messages": user, "n": 2})),
        (
            "tools",
            json!({"messages": user, "tools": [{"type": "function"}]}),
        ),
        ("logprobs", json!({"messages": user, "logprobs": true})),
        (
            "response_format",
            json!({"messages": user, "response_format": {"type": "json_object"}}),
        ),
        (
            "modalities",
            json!({"messages": user, "modalities": ["image"]}),
        ),
        (
            "audio.format",
            json!({"messages": user, "modalities": audio, "audio": {"format": "mp3"}}),
        ),
        (
            "audio.format",
            json!({"messages": user, "modalities": audio, "stream": true, "audio": {"format": "wav"}}),
        ),
        (
            "messages",
            json!({"messages": [{"role": "user", "content": [{"type": "image_url"}]}]}),
        ),
    ] {
        let reply = complete(&server, body.clone());
        reply.assert_refused(400, "unsupported");
        assert_eq!(reply.json()["error"]["param"], param, "{body}");
    }
    let mut both = spoken();
    let words = json!({"type": "text", "text": "What is said here?"});
    both[0]["content"]
        .as_array_mut()
        .expect("parts")
        .push(words);
    complete(&server, json!({"messages": both})).assert_refused(400, "unsupported");
    for path in [
        "/v1/audio/speech",
        "/v1/audio/translations",
        "/v1/embeddings",
        "/v1/responses",
    ] {
        server.post(path, "{}").assert_refused(400, "unsupported");
    }
    let words = [("timestamp_granularities[]", "word")];
    server
        .form("/v1/audio/transcriptions", b"x", &words)
        .assert_refused(400, "unsupported");
    server.get("/nowhere").assert_refused(404, "not_found");
    server
        .get("/chat")
        .assert_refused(405, "method_not_allowed");
}

#[test]
fn the_one_model_is_listed() {
    let server = Server::start(&model(), &["--log", "json"]);
    let models = server.get("/v1/models").json();
    assert_eq!(models["data"][0]["id"], "tiny-random");
    assert_eq!(
        server.get("/v1/models/tiny-random").json(),
        models["data"][0]
    );
    server
        .get("/v1/models/other")
        .assert_refused(404, "not_found");
    let line: Value = serde_json::from_str(&server.logged("/v1/models/other")).expect("JSON");
    assert_eq!(
        (&line["status"], &line["reason"]),
        (&json!(404), &json!("not_found"))
    );
}
