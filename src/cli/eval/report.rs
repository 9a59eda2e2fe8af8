//! The figures as a table for people.

use mini_omni::eval::Interval;

use super::line::Line;
use super::set::Label;
use super::summary::{Rate, Share, Summary};

/// The table.
pub fn table(summary: &Summary) -> String {
    let run = &summary.settings;
    let mut text = format!(
        "{} ({}), {}, {} encoder window\n{}, {} threads, {} kernels, ONNX Runtime {}\n{} items of {}\n\n{:<26} {:>9} {:>18} {:>9} {:>9}\n",
        run.model,
        &run.hash[..run.hash.len().min(12)],
        run.task,
        run.encoder_window,
        run.provider,
        run.threads,
        run.kernels,
        run.onnxruntime,
        summary.items,
        summary.set,
        "per cent",
        "all",
        "95 % interval",
        "median",
        "worst"
    );
    if let Some(by) = &summary.transcription {
        text += &rate("WER, Whisper's rule", &by.whisper.words);
        text += &rate("CER, Whisper's rule", &by.whisper.characters);
        text += &rate("WER, the original's rule", &by.original.words);
        text += &rate("CER, the original's rule", &by.original.characters);
    }
    text += &share("right answers", summary.answers.as_ref());
    text += &share("right as heard", summary.answers_heard.as_ref());
    if let Some(voice) = &summary.voice {
        text += &rate("WER, heard for written", voice);
    }
    text + &notes(summary) + &worst(&summary.worst)
}

fn rate(name: &str, rate: &Rate) -> String {
    let cells = [rate.corpus, rate.median, rate.worst].map(percent);
    row(name, &cells[0], rate.interval, &cells[1], &cells[2])
}

fn share(name: &str, share: Option<&Share>) -> String {
    let line = |share: &Share| row(name, &percent(Some(share.share)), share.interval, "", "");
    share.map(line).unwrap_or_default()
}

fn row(name: &str, all: &str, interval: Option<Interval>, median: &str, worst: &str) -> String {
    let ends = |i: Interval| format!("{} to {}", percent(Some(i.low)), percent(Some(i.high)));
    let interval = interval.map_or("-".into(), ends);
    let line = format!("{name:<26} {all:>9} {interval:>18} {median:>9} {worst:>9}");
    line.trim_end().to_string() + "\n"
}

fn percent(share: Option<f64>) -> String {
    share.map_or("-".into(), |share| format!("{:.2}", 100.0 * share))
}

/// What may make the figures other than they look.
fn notes(summary: &Summary) -> String {
    let rows = [
        (
            summary.cut,
            "heard only in its beginning, since it is longer than the model hears",
        ),
        (
            summary.no_speech,
            "without an answer, since no speech was found in it",
        ),
        (summary.limit, "answered up to the limit of steps"),
    ];
    let told = rows.into_iter().filter(|(n, _)| *n > 0);
    told.map(|(n, what)| format!("{n} of {} items: {what}\n", summary.items))
        .collect()
}

fn worst(lines: &[Line]) -> String {
    let told = lines.iter().map(|line| {
        let label = match &line.label {
            Label::Text(text) => text.clone(),
            Label::Answer { answers, pattern } => {
                let all: Vec<_> = answers.iter().chain(pattern).cloned().collect();
                all.join(" | ")
            }
        };
        let heard = line
            .heard
            .as_ref()
            .map(|heard| format!("  heard {heard}\n"));
        let heard = heard.unwrap_or_default();
        format!(
            "{}\n  label {label}\n  said  {}\n{heard}",
            line.id, line.said
        )
    });
    match lines.is_empty() {
        true => String::new(),
        false => format!("\nThe worst:\n{}", String::from_iter(told)),
    }
}
