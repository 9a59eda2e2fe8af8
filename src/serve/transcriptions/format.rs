//! A transcription as it is written.

use std::fmt::Write;

use axum::Json;
use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::serve::refusal::Refusal;

/// What Mini-Omnis were trained to write down.
const LANGUAGE: &str = "english";
/// Units of a segment's `seek`: frames of Whisper's spectrogram.
const SEEKS_A_SECOND: f64 = 100.0;

const PLAIN: &str = "text/plain; charset=utf-8";

/// How a transcription is written.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Format {
    /// `{"text": …}`
    Json,
    /// The words alone.
    Text,
    /// The words, and where in the recording.
    VerboseJson,
    /// Subtitles.
    Srt,
    /// Subtitles of the web.
    Vtt,
}

/// What was said in a piece of the recording.
pub struct Segment {
    /// Seconds.
    pub start: f64,
    /// Seconds.
    pub end: f64,
    /// The words.
    pub text: String,
    /// Their ids.
    pub tokens: Vec<i64>,
}

/// What was said in all of it.
pub struct Transcript {
    /// Seconds.
    pub duration: f64,
    /// In order; pieces without speech are left out.
    pub segments: Vec<Segment>,
    /// How much chance there was in the choice of ids.
    pub temperature: f64,
    /// Ids read and written.
    pub tokens: (usize, usize),
}

impl Format {
    /// By its name in a request.
    pub fn named(name: &str) -> Result<Format, Refusal> {
        match name {
            "json" => Ok(Format::Json),
            "text" => Ok(Format::Text),
            "verbose_json" => Ok(Format::VerboseJson),
            "srt" => Ok(Format::Srt),
            "vtt" => Ok(Format::Vtt),
            _ => {
                let sentence = "a transcription is written as json, text, verbose_json, srt or vtt";
                Err(Refusal::unsupported("response_format", sentence))
            }
        }
    }
}

impl Transcript {
    /// All words.
    pub fn text(&self) -> String {
        let texts: Vec<_> = self.segments.iter().map(|segment| &*segment.text).collect();
        texts.join(" ")
    }

    /// Ids read and written.
    pub fn usage(&self) -> Value {
        let (read, written) = self.tokens;
        json!({
            "type": "tokens",
            "input_tokens": read,
            "input_token_details": {"text_tokens": 0, "audio_tokens": read},
            "output_tokens": written,
            "total_tokens": read + written,
        })
    }

    /// Written so.
    pub fn response(&self, format: Format) -> Response {
        match format {
            Format::Json => {
                Json(json!({"text": self.text(), "usage": self.usage()})).into_response()
            }
            Format::VerboseJson => Json(self.verbose()).into_response(),
            Format::Text => plain(self.text() + "\n"),
            Format::Srt => plain(self.srt()),
            Format::Vtt => plain(self.vtt()),
        }
    }

    fn verbose(&self) -> Value {
        let segments = self.segments.iter().enumerate();
        let segments = segments.map(|(id, segment)| self.verbose_segment(id, segment));
        json!({
            "task": "transcribe",
            "language": LANGUAGE,
            "duration": self.duration,
            "text": self.text(),
            "segments": segments.collect::<Vec<_>>(),
            "usage": {"type": "duration", "seconds": self.duration.ceil()},
        })
    }

    /// What a Mini-Omni does not know of a piece is null.
    fn verbose_segment(&self, id: usize, segment: &Segment) -> Value {
        json!({
            "id": id,
            "seek": (segment.start * SEEKS_A_SECOND) as u64,
            "start": segment.start,
            "end": segment.end,
            "text": segment.text,
            "tokens": segment.tokens,
            "temperature": self.temperature,
            "avg_logprob": null,
            "compression_ratio": null,
            "no_speech_prob": null,
        })
    }

    fn srt(&self) -> String {
        let mut text = String::new();
        for (n, segment) in self.segments.iter().enumerate() {
            let (start, end) = (time(segment.start, ','), time(segment.end, ','));
            let _ = write!(text, "{}\n{start} --> {end}\n{}\n\n", n + 1, segment.text);
        }
        text
    }

    fn vtt(&self) -> String {
        let mut text = String::from("WEBVTT\n\n");
        for segment in &self.segments {
            let (start, end) = (time(segment.start, '.'), time(segment.end, '.'));
            let _ = write!(text, "{start} --> {end}\n{}\n\n", segment.text);
        }
        text
    }
}

fn plain(text: String) -> Response {
    ([(CONTENT_TYPE, PLAIN)], text).into_response()
}

/// `00:01:02,345`
fn time(seconds: f64, point: char) -> String {
    let ms = (seconds * 1000.0).round() as u64;
    let (minutes, seconds) = (ms / 60_000, ms / 1000 % 60);
    format!(
        "{:02}:{:02}:{seconds:02}{point}{:03}",
        minutes / 60,
        minutes % 60,
        ms % 1000
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    fn transcript() -> Transcript {
        let segment = |start, end, text: &str| Segment {
            start,
            end,
            text: text.into(),
            tokens: vec![7],
        };
        Transcript {
            duration: 61.5,
            segments: vec![segment(0.0, 29.9995, "one"), segment(30.0, 3661.5, "two")],
            temperature: 0.5,
            tokens: (10, 4),
        }
    }

    #[test]
    fn subtitles_have_their_times() {
        let srt =
            "1\n00:00:00,000 --> 00:00:30,000\none\n\n2\n00:00:30,000 --> 01:01:01,500\ntwo\n\n";
        assert_eq!(transcript().srt(), srt);
        let vtt = "WEBVTT\n\n00:00:00.000 --> 00:00:30.000\none\n\n00:00:30.000 --> 01:01:01.500\ntwo\n\n";
        assert_eq!(transcript().vtt(), vtt);
    }

    #[test]
    fn the_text_is_that_of_all_segments() {
        assert_eq!(transcript().text(), "one two");
        assert_eq!(transcript().usage()["total_tokens"], 14);
        assert_eq!(transcript().verbose()["segments"][1]["text"], "two");
    }
}
