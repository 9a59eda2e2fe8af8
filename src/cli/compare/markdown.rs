//! The comparison as Markdown, for the summary page of a job.

use super::gates::Verdict;
use super::report::{Asked, Report, worst_first};
use super::table::{fault, percent, place, small};
use mini_omni::compare::StreamFigures;

/// Questions that are told one by one.
const MOST_QUESTIONS: usize = 20;

/// The page's text.
pub fn markdown(report: &Report) -> String {
    let mut text = format!(
        "## {} against {}\n\n{}\n\n",
        cell(&report.candidate.model.name),
        cell(&report.reference.model.name),
        verdict(report)
    );
    text += &format!("{}.\n\n", cell(&fault(report)));
    if let Some(place) = place(report) {
        text += &format!("{}.\n\n", cell(&place));
    }
    if !report.gates.is_empty() {
        let rows = report.gates.iter().map(gate);
        text += &table(&["gate", "value", "limit", ""], rows);
    }
    text += &table(
        &["side", "model", "computed by"],
        report.sides().into_iter().map(Vec::from),
    );
    text += &table(
        &[
            "stream",
            "ids the same, %",
            "± %",
            "KL mean",
            "median",
            "p99",
            "max",
        ],
        report.streams.iter().enumerate().map(|(i, figures)| {
            let text = i + 1 == report.streams.len();
            stream(
                if text {
                    "text".into()
                } else {
                    format!("audio {i}")
                },
                figures,
            )
        }),
    );
    text += &table(
        &["stage at its worst", "error", "cosine", "SNR dB", "LSD dB"],
        report.stages.iter().map(|worst| {
            let drift = &worst.drift;
            vec![
                drift.stage.name().into(),
                small(drift.error),
                drift.cosine.map_or("".into(), |x| format!("{x:.6}")),
                drift.snr_db.map_or("".into(), |x| format!("{x:.1}")),
                drift
                    .log_spectral_distance_db
                    .map_or("".into(), |x| format!("{x:.2}")),
            ]
        }),
    );
    let worst = worst_first(&report.inputs);
    text + &table(
        &[
            "question, worst first",
            "ids the same, %",
            "parts at step",
            "reference",
            "candidate",
        ],
        worst.into_iter().take(MOST_QUESTIONS).map(question),
    )
}

fn verdict(report: &Report) -> String {
    let fallen: Vec<_> = report.gates.iter().filter(|gate| !gate.passed).collect();
    match (report.gates.is_empty(), fallen.is_empty()) {
        (true, _) => format!("{:.2} % of ids the same.", report.agreement * 100.0),
        (_, true) => format!("**All {} gates hold.**", report.gates.len()),
        _ => format!("**{} of {} gates fell.**", fallen.len(), report.gates.len()),
    }
}

fn gate(gate: &Verdict) -> Vec<String> {
    vec![
        gate.gate.clone(),
        gate.value.map_or("-".into(), number),
        format!("{} {}", gate.bound.name(), number(gate.limit)),
        if gate.passed { "holds" } else { "**fell**" }.into(),
    ]
}

/// With four digits.
fn number(x: f64) -> String {
    match x == 0.0 || x.abs() >= 1e-3 {
        true => format!("{x:.4}"),
        false => format!("{x:.3e}"),
    }
}

fn stream(name: String, figures: &StreamFigures) -> Vec<String> {
    let kl = |pick: fn(&mini_omni::compare::Spread) -> f64| {
        figures
            .kl_nats
            .as_ref()
            .map_or("-".into(), |kl| small(pick(kl)))
    };
    let error = figures.standard_error;
    vec![
        name,
        percent(figures.agreement),
        error.map_or("-".into(), |x| format!("{:.2}", x * 100.0)),
        kl(|kl| kl.mean),
        kl(|kl| kl.median),
        kl(|kl| kl.p99),
        kl(|kl| kl.max),
    ]
}

fn question(asked: &Asked) -> Vec<String> {
    let comparison = &asked.comparison;
    let all = asked.figures();
    let parts = comparison.divergence.as_ref();
    vec![
        asked.input.clone(),
        percent(all.agreement),
        parts.map_or("never".into(), |parts| parts.step.to_string()),
        comparison.reference.text.clone(),
        comparison.candidate.text.clone(),
    ]
}

fn table(heads: &[&str], rows: impl Iterator<Item = Vec<String>>) -> String {
    let line = |cells: Vec<String>| format!("| {} |\n", cells.join(" | "));
    let heads = heads
        .iter()
        .map(|head| head.to_string())
        .collect::<Vec<_>>();
    let rule = heads.iter().map(|_| "---".to_string()).collect();
    let rows = rows.map(|row| line(row.iter().map(|text| cell(text)).collect()));
    format!(
        "{}{}{}\n",
        line(heads),
        line(rule),
        rows.collect::<String>()
    )
}

/// Text that is nothing but text in a cell; bold stays.
fn cell(text: &str) -> String {
    let text = super::junit::escaped(text);
    text.replace('|', "\\|").replace('`', "\\`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cell_stays_a_cell() {
        let row = table(
            &["a", "b"],
            [vec!["x|y".into(), "<b>\n".into()]].into_iter(),
        );
        assert_eq!(row, "| a | b |\n| --- | --- |\n| x\\|y | &lt;b&gt;  |\n\n");
    }
}
