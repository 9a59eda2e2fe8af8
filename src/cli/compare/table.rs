//! The comparison as a table for people.

use mini_omni::compare::{Agreement, HeadsDrift, LogitsDrift, PcmDrift, StageDrift, StreamFigures};

use super::report::{Asked, LocatedAt, Report};

/// Longest name of an input in the table.
const NAME_WIDTH: usize = 22;

/// All of the report that fits a terminal.
pub fn table(report: &Report) -> String {
    let sides = report
        .sides()
        .map(|[name, model, means]| format!("{name}  {model}\n           {means}\n"));
    let mut text = format!(
        "{}greedy, up to {} steps\n\n",
        sides.concat(),
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
    text + "\n" + &stages(report) + "\n" + &streams(report) + "\n" + &summary(report)
}

fn line(asked: &Asked) -> String {
    let c = &asked.comparison;
    let features = c.features.as_ref();
    let [text_max, text_kl, audio_max, audio_kl] = logits(&c.prefill);
    let parts = c.divergence.as_ref();
    let margin = parts.and_then(|d| d.margin);
    let forced = asked.figures();
    row([
        &shortened(&asked.input),
        c.task,
        &features.map_or("-".into(), |f| small(f.max_difference.into())),
        &features.map_or("-".into(), |f| format!("{:.5}", f.cosine)),
        &text_max,
        &text_kl,
        &audio_max,
        &audio_kl,
        &percent(forced.agreement),
        &parts.map_or("never".into(), |d| d.step.to_string()),
        &margin.map_or("-".into(), |margin| small(margin.into())),
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

/// Each stage at its worst, with the first at fault marked.
fn stages(report: &Report) -> String {
    let mut text = format!(
        "{:<15} {:>8} {:>10} {:>9} {:>8} {:>8}\n",
        "stage at worst", "error", "max diff", "cosine", "SNR dB", "LSD dB"
    );
    for worst in &report.stages {
        let drift = &worst.drift;
        let fault = report.first_fault == Some(drift.stage);
        text += &format!(
            "{}{}\n",
            stage(drift),
            if fault { "  first at fault" } else { "" }
        );
    }
    text
}

fn stage(drift: &StageDrift) -> String {
    let cell = |value: Option<String>| value.unwrap_or("-".into());
    format!(
        "{:<15} {:>8} {:>10} {:>9} {:>8} {:>8}",
        drift.stage.name(),
        small(drift.error),
        cell(drift.max_difference.map(|x| small(x.into()))),
        cell(drift.cosine.map(|x| format!("{x:.6}"))),
        cell(drift.snr_db.map(|x| format!("{x:.1}"))),
        cell(drift.log_spectral_distance_db.map(|x| format!("{x:.2}"))),
    )
}

/// Each stream over all inputs.
fn streams(report: &Report) -> String {
    let mut text = format!(
        "{:<15} {:>8} {:>8} {:>9} {:>9} {:>9} {:>9}\n",
        "stream, forced", "agree %", "± %", "KL mean", "median", "p99", "max"
    );
    let last = report.streams.len().saturating_sub(1);
    for (i, figures) in report.streams.iter().enumerate() {
        let name = if i == last {
            "text".into()
        } else {
            format!("audio {i}")
        };
        let kl = figures.kl_nats;
        let cell = |x: Option<f64>| x.map_or("-".into(), small);
        text += &format!(
            "{name:<15} {:>8} {:>8} {:>9} {:>9} {:>9} {:>9}\n",
            percent(figures.agreement),
            figures
                .standard_error
                .map_or("-".into(), |x| format!("{:.2}", x * 100.0)),
            cell(kl.map(|kl| kl.mean)),
            cell(kl.map(|kl| kl.median)),
            cell(kl.map(|kl| kl.p99)),
            cell(kl.map(|kl| kl.max)),
        );
    }
    text
}

fn summary(report: &Report) -> String {
    let steps: Vec<_> = report.inputs.iter().map(Asked::steps).collect();
    let all = StreamFigures::of(&steps);
    let same = |asked: &&Asked| asked.comparison.divergence.is_none();
    let mut text = format!(
        "free-running answers the same: {} of {}\nagreement {} % of {} ids\n{}\n",
        report.inputs.iter().filter(same).count(),
        report.inputs.len(),
        percent(all.agreement),
        all.agreement.of,
        fault(report),
    );
    if let Some(place) = place(report) {
        text += &format!("{place}\n");
    }
    if !report.gates.is_empty() {
        let fallen = report.gates.iter().filter(|gate| !gate.passed).count();
        text += &format!(
            "gates: {} hold, {fallen} fell\n",
            report.gates.len() - fallen
        );
    }
    text
}

/// The first stage at fault as a sentence.
pub fn fault(report: &Report) -> String {
    let band = report.band;
    let found = report
        .stages
        .iter()
        .find(|w| Some(w.drift.stage) == report.first_fault);
    found.map_or(format!("no stage is beyond the band of {band}"), |worst| {
        let at = worst.drift.at.as_ref();
        format!(
            "first stage beyond the band of {band}: {}{}",
            worst.drift.stage.name(),
            at.map_or(String::new(), |at| format!(", {at}"))
        )
    })
}

/// What `--locate` found or why it found nothing, as a sentence.
pub fn place(report: &Report) -> Option<String> {
    let why_not = report.not_located.as_ref();
    let why_not = why_not.map(|why| format!("not located: {why}"));
    report.located.as_ref().map(node).or(why_not)
}

fn node(at: &LocatedAt) -> String {
    let found = &at.located;
    let Some(graph) = &found.graph else {
        return format!("located: {}, {}", found.stage.name(), found.place);
    };
    let operator = found.operator.as_deref().unwrap_or_default();
    let mut text = format!(
        "located: {graph}, node {} ({operator}), error {}, the first beyond the band after {} values within",
        found.place,
        small(found.error),
        found.within
    );
    if !found.weights.is_empty() {
        text += &format!("; its weights: {}", found.weights.join(", "));
    }
    if !found.unmatched.is_empty() {
        let names = found.unmatched.join(", ");
        text += &format!("; right before it, only in the candidate: {names}");
    }
    text
}

/// Rounded down, so that 100 means all.
pub fn percent(agreement: Agreement) -> String {
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

pub fn small(x: f64) -> String {
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
