//! What the server counts, in Prometheus' text format at `/metrics`.

mod histogram;

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use mini_omni::Trace;

use super::SharedState;
use super::refusal::Reason;
use super::shared::Shared;
use axum::extract::State;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use histogram::Histogram;

const FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";
const FIRST_AUDIO: &[f64] = &[0.025, 0.05, 0.1, 0.15, 0.25, 0.4, 0.7, 1.0, 2.0, 5.0];
const STEP: &[f64] = &[0.002, 0.005, 0.01, 0.02, 0.04, 0.0853, 0.15, 0.3];
const REAL_TIME_FACTOR: &[f64] = &[0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, 1.5, 3.0];

/// What the server counts.
pub struct Metrics {
    /// Seconds from a question to the first sound of its answer.
    first_audio: Histogram,
    /// Seconds of a decoder's step.
    step: Histogram,
    /// Time of an answer over the length of its sound.
    real_time_factor: Histogram,
    answers: AtomicU64,
    cancelled: AtomicU64,
    failed: AtomicU64,
    underruns: AtomicU64,
    slow_readers: AtomicU64,
    discarded_speculation: AtomicU64,
    refusals: [AtomicU64; Reason::ALL.len()],
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new() -> Metrics {
        Metrics {
            first_audio: Histogram::new(FIRST_AUDIO),
            step: Histogram::new(STEP),
            real_time_factor: Histogram::new(REAL_TIME_FACTOR),
            answers: AtomicU64::new(0),
            cancelled: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            underruns: AtomicU64::new(0),
            slow_readers: AtomicU64::new(0),
            discarded_speculation: AtomicU64::new(0),
            refusals: [const { AtomicU64::new(0) }; Reason::ALL.len()],
        }
    }

    /// An answer came to its end; `sample_rate` is its sound's.
    pub fn answered(&self, trace: &Trace, sample_rate: u32) {
        self.answers.fetch_add(1, Relaxed);
        let times = &trace.timings_ms;
        times
            .steps
            .iter()
            .for_each(|ms| self.step.observe(ms / 1000.0));
        if let Some(ms) = times.first_audio {
            self.first_audio.observe(ms / 1000.0);
            let seconds = trace.pcm_samples as f64 / f64::from(sample_rate);
            self.real_time_factor
                .observe(times.total / 1000.0 / seconds);
        }
    }

    /// An answer was ended by the person who asked, or because they went.
    pub fn cancelled(&self) {
        self.cancelled.fetch_add(1, Relaxed);
    }

    /// An answer could not be written to its end.
    pub fn failed(&self) {
        self.failed.fetch_add(1, Relaxed);
    }

    /// A player that began with the first sound would have run dry.
    pub fn underrun(&self) {
        self.underruns.fetch_add(1, Relaxed);
    }

    /// A client did not take what was written for it, and was closed.
    pub fn slow_reader(&self) {
        self.slow_readers.fetch_add(1, Relaxed);
    }

    /// An answer that was prepared in a pause was thrown away unheard.
    pub fn discarded_speculation(&self) {
        self.discarded_speculation.fetch_add(1, Relaxed);
    }

    /// A request was refused.
    pub fn refused(&self, reason: Reason) {
        let row = Reason::ALL.iter().position(|&r| r == reason);
        row.map(|row| self.refusals[row].fetch_add(1, Relaxed));
    }

    fn text(&self, shared: &Shared) -> String {
        let mut text = String::new();
        let histograms = [
            (
                &self.first_audio,
                "first_audio_seconds",
                "From a question to the first sound of its answer.",
            ),
            (
                &self.step,
                "step_seconds",
                "A step of the decoder, over all rows.",
            ),
            (
                &self.real_time_factor,
                "real_time_factor",
                "Time of an answer over the length of its sound.",
            ),
        ];
        for (histogram, name, help) in histograms {
            histogram.write(&mut text, &format!("mini_omni_{name}"), help);
        }
        for (name, help, number) in [
            (
                "conversations",
                "Conversations under way.",
                shared.conversations(),
            ),
            (
                "answers",
                "Answers that the model is writing.",
                shared.answers(),
            ),
            (
                "ready",
                "1 if a new conversation would be taken.",
                shared.ready().is_ok().into(),
            ),
        ] {
            let _ = write!(
                text,
                "# HELP mini_omni_{name} {help}\n# TYPE mini_omni_{name} gauge\n"
            );
            let _ = writeln!(text, "mini_omni_{name} {number}");
        }
        for (name, help, count) in [
            (
                "answers_total",
                "Answers that came to their end.",
                &self.answers,
            ),
            (
                "cancelled_total",
                "Answers that were ended early.",
                &self.cancelled,
            ),
            (
                "failed_total",
                "Answers that could not be written to their end.",
                &self.failed,
            ),
            (
                "underruns_total",
                "Sound that came later than a player needed it.",
                &self.underruns,
            ),
            (
                "slow_readers_total",
                "Clients closed because they took nothing.",
                &self.slow_readers,
            ),
            (
                "discarded_speculation_total",
                "Answers prepared and never heard.",
                &self.discarded_speculation,
            ),
        ] {
            let _ = write!(
                text,
                "# HELP mini_omni_{name} {help}\n# TYPE mini_omni_{name} counter\n"
            );
            let _ = writeln!(text, "mini_omni_{name} {}", count.load(Relaxed));
        }
        let name = "mini_omni_refusals_total";
        let _ = write!(
            text,
            "# HELP {name} Requests refused.\n# TYPE {name} counter\n"
        );
        for (reason, count) in Reason::ALL.iter().zip(&self.refusals) {
            let _ = writeln!(
                text,
                "{name}{{reason=\"{}\"}} {}",
                reason.code(),
                count.load(Relaxed)
            );
        }
        text
    }
}

/// `GET /metrics`.
pub async fn metrics(State(shared): SharedState) -> impl IntoResponse {
    ([(CONTENT_TYPE, FORMAT)], shared.metrics.text(&shared))
}
