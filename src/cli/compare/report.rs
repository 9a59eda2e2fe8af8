//! The comparison as JSON, and as a table for people.

use mini_omni::Manifest;
use mini_omni::compare::{Agreement, Comparison, HeadsDrift, LogitsDrift, PcmDrift};
use mini_omni::model::Precision;
use serde::Serialize;

/// Longest name of an input in the table.
const NAME_WIDTH: usize = 22;

/// Everything a comparison says.
#[derive(Serialize)]
pub struct Report {
    pub version: String,
    pub onnxruntime: String,
    pub threads: usize,
    pub reference: Model,
    pub candidate: Model,
    pub max_steps: usize,
    pub inputs: Vec<Asked>,
    /// Teacher-forced, over all inputs and streams; between 0 and 1.
    pub agreement: f64,
    /// The same by stream, the text stream last.
    pub streams: Vec<Agreement>,
    /// What was asked for; null where nothing was.
    pub min_agreement: Option<f64>,
}

/// One of the two models.
#[derive(Serialize)]
pub struct Model {
    pub name: String,
    pub hash: String,
    pub precision: Precision,
    pub profile: String,
    pub encoder_window: String,
    pub provider: String,
}

/// One input with what came of it.
#[derive(Serialize)]
pub struct Asked {
    pub input: String,
    #[serde(flatten)]
    pub comparison: Comparison,
}

impl Model {
    pub fn of(manifest: &Manifest, encoder_window: &str, provider: &str) -> Model {
        Model {
            name: manifest.name.clone(),
            hash: manifest.hash(),
            precision: manifest.precision.clone(),
            profile: manifest.profile.clone(),
            encoder_window: encoder_window.into(),
            provider: provider.into(),
        }
    }

    fn line(&self) -> String {
        let precision = &self.precision;
        format!(
            "{} ({}), {}, encoder {}, decoder {}, codec {}, {} encoder window, {}",
            self.name,
            &self.hash[..12],
            self.profile,
            precision.encoder,
            precision.decoder,
            precision.codec,
            self.encoder_window,
            self.provider
        )
    }
}

/// Agreement by stream over all inputs, the text stream last.
pub fn streams(inputs: &[Asked]) -> Vec<Agreement> {
    let n = inputs
        .first()
        .map_or(0, |i| i.comparison.teacher_forced.streams.len());
    let stream = |stream: usize| {
        all(inputs
            .iter()
            .map(|i| i.comparison.teacher_forced.streams[stream]))
    };
    (0..n).map(stream).collect()
}

/// Several together.
pub fn all(agreements: impl IntoIterator<Item = Agreement>) -> Agreement {
    agreements
        .into_iter()
        .fold(Agreement::default(), Agreement::and)
}

/// The table.
pub fn table(report: &Report) -> String {
    let mut text = format!(
        "reference  {}\ncandidate  {}\nONNX Runtime {}, {} threads, greedy, up to {} steps\n\n",
        report.reference.line(),
        report.candidate.line(),
        report.onnxruntime,
        report.threads,
        report.max_steps
    );
    text += &format!(
        "{:<NAME_WIDTH$} {:<10} {:>17} {:>17} {:>17} {:>8} {:>17} {:>8}\n",
        "", "", "features", "prefill, text", "prefill, audio", "forced", "running free", "sound"
    );
    text += &row([
        "input", "task", "max", "cosine", "max", "KL nats", "max", "KL nats", "agree %",
        "parts at", "margin", "SNR dB",
    ]);
    for asked in &report.inputs {
        text += &line(asked);
    }
    text + &format!("\n{}", summary(report))
}

fn line(asked: &Asked) -> String {
    let c = &asked.comparison;
    let features = c.features.as_ref();
    let [text_max, text_kl, audio_max, audio_kl] = logits(&c.prefill);
    let parts = c.divergence.as_ref();
    row([
        &shortened(&asked.input),
        c.task,
        &features.map_or("-".into(), |f| small(f.max_difference.into())),
        &features.map_or("-".into(), |f| format!("{:.5}", f.cosine)),
        &text_max,
        &text_kl,
        &audio_max,
        &audio_kl,
        &percent(all(c.teacher_forced.streams.iter().copied())),
        &parts.map_or("never".into(), |d| d.step.to_string()),
        &parts.map_or("-".into(), |d| small(d.margin.into())),
        &c.pcm.as_ref().map_or("-".into(), sound),
    ])
}

fn logits(heads: &HeadsDrift) -> [String; 4] {
    let cells = |drift: Option<LogitsDrift>| {
        drift.map_or(["-".into(), "-".into()], |d| {
            [small(d.max_difference.into()), small(d.kl_nats)]
        })
    };
    let ([a, b], [c, d]) = (cells(heads.text), cells(heads.audio));
    [a, b, c, d]
}

fn sound(pcm: &PcmDrift) -> String {
    pcm.snr_db.map_or("exact".into(), |db| format!("{db:.1}"))
}

fn summary(report: &Report) -> String {
    let Some((text, audio)) = report.streams.split_last() else {
        return String::new();
    };
    let by_stream: Vec<_> = audio.iter().map(|&a| percent(a)).collect();
    let ids: usize = report.streams.iter().map(|a| a.of).sum();
    let same = |asked: &&Asked| asked.comparison.divergence.is_none();
    format!(
        "teacher-forced agreement by stream, %: audio {}, text {}\nfree-running answers the same: {} of {}\nagreement {} % of {ids} ids\n",
        by_stream.join(" "),
        percent(*text),
        report.inputs.iter().filter(same).count(),
        report.inputs.len(),
        percent(all(report.streams.iter().copied())),
    )
}

/// Rounded down, so that 100 means all.
fn percent(agreement: Agreement) -> String {
    if agreement.of == 0 {
        return "-".into();
    }
    format!("{:.2}", (agreement.share() * 10_000.0).floor() / 100.0)
}

/// Beginning and end of a long name: paths tell themselves apart by their ends, questions by their
/// beginnings.
fn shortened(name: &str) -> String {
    let n = name.chars().count();
    if n <= NAME_WIDTH {
        return name.into();
    }
    let (head, tail) = (NAME_WIDTH / 2 - 1, NAME_WIDTH.div_ceil(2));
    let head: String = name.chars().take(head).collect();
    let tail: String = name.chars().skip(n - tail).collect();
    format!("{head}…{tail}")
}

fn small(x: f64) -> String {
    if x == 0.0 {
        "0".into()
    } else {
        format!("{x:.1e}")
    }
}

fn row(cells: [&str; 12]) -> String {
    let [name, task, rest @ ..] = cells;
    let rest: String = rest.iter().map(|cell| format!(" {cell:>8}")).collect();
    format!("{name:<NAME_WIDTH$} {task:<10}{rest}\n")
}
