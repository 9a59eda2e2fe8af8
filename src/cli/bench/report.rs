//! What a benchmark says: a struct, its JSON, its table.

use std::path::Path;

use anyhow::{Context, Result};
use mini_omni::model::Precision;

use serde::{Deserialize, Serialize};

use super::conversations::Conversations;
use super::verdict::{change, summary};
use crate::cli::stats::Stats;

/// Everything a benchmark says; milliseconds unless named otherwise.
#[derive(Serialize, Deserialize)]
pub struct Report {
    pub version: String,
    pub onnxruntime: String,
    pub cpu: String,
    pub threads: usize,
    pub provider: String,
    /// What computed our own operators; not in reports of before 2026-12.
    #[serde(default)]
    pub kernels: Option<String>,
    pub model: String,
    pub model_hash: String,
    pub precision: Precision,
    pub task: String,
    pub encoder_window: String,
    pub question_seconds: f64,
    /// Steps of each answer; not in reports of before 2026-12.
    #[serde(default)]
    pub steps: Option<u32>,
    pub load_ms: f64,
    pub stages_ms: Vec<(String, Stats)>,
    pub real_time_factor: Option<Stats>,
    /// Gaps a listener would hear, over all rounds.
    pub underruns: usize,
    pub peak_memory_mib: Option<f64>,
    /// How many conversations at once are sustained, where it was asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub conversations: Option<Conversations>,
}

/// The report as a person reads it, with the change since `before`.
pub fn table(report: &Report, before: Option<&Report>) -> String {
    let precision = &report.precision;
    let mut text = format!(
        "{} ({}), encoder {}, decoder {}, codec {}\n{}, {} threads, {}, {} kernels, ONNX Runtime {}\n{:.1} s question, {}, {} encoder window\n\n",
        report.model,
        &report.model_hash[..12],
        precision.encoder,
        precision.decoder,
        precision.codec,
        report.cpu,
        report.threads,
        report.provider,
        report.kernels.as_deref().unwrap_or("unknown"),
        report.onnxruntime,
        report.question_seconds,
        report.task,
        report.encoder_window,
    );
    text += &format!(
        "{:<18} {:>9} {:>9} {:>9} {:>9} {:>6}\n",
        "ms", "mean", "p50", "p95", "p99", "n"
    );
    for (name, s) in &report.stages_ms {
        let change = before.map_or(String::new(), |b| change(name, s, b));
        text += &format!(
            "{name:<18} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>6}{change}\n",
            s.mean, s.p50, s.p95, s.p99, s.n
        );
    }
    text += &format!("{:<18} {:>9.0}\n\n", "load", report.load_ms);
    if let Some(factor) = &report.real_time_factor {
        text += &format!(
            "real-time factor {:.3} (below 1 is faster than speech)\n",
            factor.p50
        );
    }
    text += &format!("underruns {}\n", report.underruns);
    if let Some(peak) = report.peak_memory_mib {
        text += &format!("peak memory {peak:.0} MiB\n");
    }
    if let Some(conversations) = &report.conversations {
        text += &conversations_table(conversations);
    }
    text + &before.map_or(String::new(), |before| {
        format!("\n{}", summary(report, before))
    })
}

fn conversations_table(found: &Conversations) -> String {
    let mut text = format!(
        "\nconversations at once, asking independently, answers of {} s, player's buffer {} ms, {} codec threads\n{:>3} {:>8} {:>8} {:>9} {:>9} {:>9} {:>12} {:>8} {:>8}\n",
        found.answer_seconds,
        found.player_buffer_ms,
        found.codec_threads,
        "n",
        "frames",
        "late",
        "step p50",
        "p95",
        "p99",
        "first audio",
        "p95",
        "RTF"
    );
    for run in &found.runs {
        let step = |pick: fn(&Stats) -> f64| run.step_ms.as_ref().map_or(f64::NAN, pick);
        let first = |pick: fn(&Stats) -> f64| run.first_audio_ms.as_ref().map_or(f64::NAN, pick);
        text += &format!(
            "{:>3} {:>8} {:>8} {:>9.2} {:>9.2} {:>9.2} {:>12.0} {:>8.0} {:>8.3}\n",
            run.n,
            run.frames,
            run.late,
            step(|s| s.p50),
            step(|s| s.p95),
            step(|s| s.p99),
            first(|s| s.p50),
            first(|s| s.p95),
            run.real_time_factor.unwrap_or(f64::NAN),
        );
    }
    text + &format!(
        "{} of {} conversations at once are sustained\n",
        found.sustained, found.most
    )
}

/// A report that `--json` wrote.
pub fn read_report(path: &Path) -> Result<Report> {
    let text =
        std::fs::read_to_string(path).with_context(|| format!("cannot read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| {
        format!(
            "{} is no result of `mini-omni bench --json`",
            path.display()
        )
    })
}
