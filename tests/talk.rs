//! `mini-omni talk` with files and pipes in place of a microphone and a loudspeaker.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Output, Stdio};

use common::*;
use mini_omni::audio;

/// Hz of what the bundled model says.
const RATE: usize = 24_000;

/// The recorded question between silences: a second before it, `behind` seconds after it.
fn recording(folder: &Path, behind: f32) -> std::path::PathBuf {
    let question = audio::read(&bundled_question()).expect("a question");
    let question = audio::resample(&question, 16_000).expect("its rate");
    let silence = |seconds: f32| vec![0.0; (seconds * 16_000.0) as usize];
    let samples = [&silence(1.0), question.samples(), &silence(behind)].concat();
    let path = folder.join("recording.wav");
    write_wav(&path, 16_000, &samples);
    path
}

fn talk(args: &[&str]) -> Output {
    mini_omni(&[&["talk"], args].concat())
}

/// The arguments of a conversation with a model by files.
fn through<'a>(model: &'a Path, input: &'a Path, output: &'a Path) -> [&'a str; 5] {
    [
        text(model),
        "--input",
        text(input),
        "--output",
        text(output),
    ]
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Seconds at which a sound is first and last louder than a murmur.
fn loud(samples: &[f32], rate: usize) -> Option<(f32, f32)> {
    let loud = |x: &f32| x.abs() > 0.02;
    let at = |sample: usize| sample as f32 / rate as f32;
    Some((
        at(samples.iter().position(loud)?),
        at(samples.iter().rposition(loud)?),
    ))
}

#[test]
fn a_question_in_a_recording_is_answered_in_real_time() {
    let folder = tempfile::tempdir().expect("a folder");
    let (input, model) = (recording(folder.path(), 0.0), bundled());
    let out = folder.path().join("said.wav");
    let output = talk(&through(&model, &input, &out));
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(said(&output).contains("Paris"), "{}", said(&output));
    let told = stderr(&output);
    assert!(told.contains("after you fell silent"), "{told}");
    let recorded = audio::read(&input).expect("a recording");
    let answer = audio::read(&out).expect("a wav");
    let (begins, ends) = loud(answer.samples(), RATE).expect("a voice");
    let (_, asked) = loud(recorded.samples(), 16_000).expect("a voice");
    assert!(
        begins > asked,
        "{begins} s: nobody is answered in mid-question"
    );
    assert!(ends - begins > 0.5, "{begins} to {ends} s");
}

#[test]
fn a_pipe_is_talked_to_as_well() {
    let folder = tempfile::tempdir().expect("a folder");
    let input = audio::read(&recording(folder.path(), 0.0)).expect("a recording");
    let raw: Vec<u8> = input
        .samples()
        .iter()
        .flat_map(|&x| ((x * 32767.0) as i16).to_le_bytes())
        .collect();
    let model = bundled();
    let mut child = command(&["talk", text(&model), "--input", "-", "--output", "-"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut stdin = child.stdin.take().expect("a pipe");
    let writer = std::thread::spawn(move || stdin.write_all(&raw));
    let output = child.wait_with_output().expect("an end");
    writer.join().expect("a writer").expect("all was read");
    assert!(stderr(&output).contains("Paris"), "{}", stderr(&output));
    let samples: Vec<f32> = output.stdout[44..]
        .chunks_exact(2)
        .map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32768.0)
        .collect();
    assert!(loud(&samples, RATE).is_some());
}

#[test]
fn a_recording_without_speech_is_not_answered() {
    let folder = tempfile::tempdir().expect("a folder");
    let (input, out) = (
        folder.path().join("hum.wav"),
        folder.path().join("said.wav"),
    );
    let hum: Vec<f32> = (0..48_000)
        .map(|i| 0.05 * (i as f32 * 100.0 * std::f32::consts::TAU / 16_000.0).sin())
        .collect();
    write_wav(&input, 16_000, &hum);
    let model = bundled();
    let output = talk(&through(&model, &input, &out));
    assert!(output.status.success(), "{}", stderr(&output));
    assert_eq!(said(&output), "");
    let silence = audio::read(&out).expect("a wav");
    assert_eq!(loud(silence.samples(), RATE), None);
}

#[test]
fn what_cannot_be_talked_with_is_a_sentence() {
    let folder = tempfile::tempdir().expect("a folder");
    let (missing, model) = (folder.path().join("none.wav"), model());
    assert_refused(
        &talk(&[text(&model), "--input", text(&missing)]),
        "none.wav",
    );
    assert_refused(&talk(&[]), "MODEL");
    let same = recording(folder.path(), 0.0);
    let both = talk(&[
        text(&model),
        "--input",
        text(&same),
        "--output",
        text(&same),
    ]);
    assert_refused(&both, "would overwrite the recording");
    assert!(fs::metadata(&same).expect("still there").len() > 44);
    if !cfg!(feature = "live") {
        assert_refused(&talk(&["--list-devices"]), "--features live");
        assert_refused(&talk(&[text(&model)]), "--features live");
    }
}

#[cfg(unix)]
#[test]
fn a_signal_ends_the_conversation_and_keeps_what_was_said() {
    let folder = tempfile::tempdir().expect("a folder");
    let (input, out) = (
        recording(folder.path(), 60.0),
        folder.path().join("said.wav"),
    );
    let model = bundled();
    let mut child = command(&[&["talk"][..], &through(&model, &input, &out)].concat())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let mut line = String::new();
    let stdout = child.stdout.take().expect("a pipe");
    let read = BufReader::new(stdout).read_line(&mut line);
    assert!(read.is_ok() && line.contains("Paris"), "{line}");
    let id = child.id().to_string();
    let killed = std::process::Command::new("kill")
        .args(["-INT", &id])
        .status();
    assert!(killed.expect("kill runs").success());
    let output = child.wait_with_output().expect("an end");
    assert!(output.status.success(), "{}", stderr(&output));
    let answer = audio::read(&out).expect("a whole wav");
    assert!(loud(answer.samples(), RATE).is_some());
}
