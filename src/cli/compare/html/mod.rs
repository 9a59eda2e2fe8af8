//! The comparison as one page that needs nothing else: pictures are drawn from the data in it, sounds
//! are in it, and it asks no network for anything.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use mini_omni::compare::{FLOOR_DB, Sounds, StreamStep, spectrogram};
use serde::Serialize;

use super::report::{Asked, Report, worst_first};
use crate::cli::output::wav::file;

const PAGE: &str = include_str!("page.html");
/// What the data takes the place of.
const DATA: &str = "__DATA__";
/// Rows and most columns of a picture of sound; a screen shows no more.
const ROWS: usize = 128;
const MOST_COLUMNS: usize = 640;

#[derive(Serialize)]
struct Data<'a> {
    report: &'a Report,
    /// The worst first.
    worst: Vec<Question<'a>>,
}

/// A question that is shown with all its steps and sounds.
#[derive(Serialize)]
struct Question<'a> {
    input: &'a str,
    /// One a stream, the text stream last.
    streams: Vec<Vec<Step>>,
    sounds: Vec<Sound>,
}

/// Number, whether the ids are the same, and the KL divergence where it is known.
#[derive(Serialize)]
struct Step(usize, bool, Option<f64>);

#[derive(Serialize)]
struct Sound {
    name: &'static str,
    seconds: f64,
    /// Base64.
    wav: String,
    columns: usize,
    rows: usize,
    /// Base64 of a byte a point, row by row from the highest frequency, 0 for silence.
    picture: String,
}

/// The page's text, with the `n` worst questions to look at and listen to.
pub fn html(report: &Report, n: usize, sample_rate: u32) -> anyhow::Result<String> {
    let worst = worst_first(&report.inputs).into_iter().take(n);
    let data = Data {
        report,
        worst: worst.map(|asked| question(asked, sample_rate)).collect(),
    };
    // "</script>" would end the data, wherever it stands.
    let json = serde_json::to_string(&data)?.replace("</", "<\\/");
    Ok(PAGE.replace(DATA, &json))
}

fn question(asked: &Asked, sample_rate: u32) -> Question<'_> {
    let step = |step: &StreamStep| Step(step.step, step.agreed, step.kl_nats);
    let streams = asked.comparison.teacher_forced.by_step.iter();
    let sounds = asked.comparison.sounds.as_ref();
    Question {
        input: &asked.input,
        streams: streams
            .map(|steps| steps.iter().map(step).collect())
            .collect(),
        sounds: sounds.map_or_else(Vec::new, |sounds| all(sounds, sample_rate)),
    }
}

fn all(sounds: &Sounds, sample_rate: u32) -> Vec<Sound> {
    let named = [
        ("reference", &sounds.reference),
        (
            "the same ids through the candidate's codec",
            &sounds.candidate_codec,
        ),
        ("candidate", &sounds.candidate),
    ];
    let sound = |(name, samples): (&'static str, &Vec<f32>)| {
        let (columns, picture) = picture(samples);
        Sound {
            name,
            seconds: samples.len() as f64 / f64::from(sample_rate),
            wav: STANDARD.encode(file(samples, sample_rate)),
            columns,
            rows: ROWS,
            picture: STANDARD.encode(picture),
        }
    };
    named.map(sound).into()
}

/// Columns, and the loudest point of each part of the spectrogram.
fn picture(samples: &[f32]) -> (usize, Vec<u8>) {
    let spectrogram = spectrogram(samples);
    let (frames, bins) = spectrogram.dim();
    let columns = frames.min(MOST_COLUMNS);
    let mut picture = vec![0; columns * ROWS];
    for ((frame, bin), &db) in spectrogram.indexed_iter() {
        let row = ROWS - 1 - (bin * ROWS / bins).min(ROWS - 1);
        let point = &mut picture[row * columns + frame * columns / frames];
        *point = (*point).max((255.0 * (1.0 - db / FLOOR_DB)) as u8);
    }
    (columns, picture)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_picture_is_black_in_silence_and_bright_at_a_tone() {
        let (columns, silence) = picture(&[0.0; 24_000]);
        assert!(silence.iter().all(|&point| point == 0));
        assert_eq!(silence.len(), columns * ROWS);
        let tone: Vec<f32> = (0..24_000).map(|i| (i as f32 * 0.5).sin()).collect();
        let (_, picture) = picture(&tone);
        assert!(picture.contains(&255) || picture.iter().any(|&point| point > 240));
    }
}
