//! Files and pipes in place of a microphone and a loudspeaker, in real time.
//!
//! One thread keeps the time for both ends: every 20 ms it hands over what was recorded and writes
//! what was played, so that the two lie on one time line. Behind the end of the recording there is
//! silence, as in a room.

use std::io::{ErrorKind, Read};
use std::path::Path;
use std::sync::mpsc::Sender;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use mini_omni::audio;

use super::line::Input;
use super::player::Player;
use crate::cli::output::{WavSink, is_stdio};
use crate::cli::terminal::unless_unread;

/// Pieces a second.
const PIECES: u32 = 50;
/// Longest recording that is talked to, seconds.
const LONGEST: f64 = 3600.0;

/// Where the microphone's samples come from.
pub enum Recording {
    /// A whole file.
    File { samples: Vec<f32>, rate: u32 },
    /// Raw 16-bit samples, little endian, one channel, as they come.
    Pipe { rate: u32 },
}

impl Recording {
    /// Opens `path`; "-" is standard input, which gives raw samples of `rate`.
    pub fn open(path: &Path, rate: u32) -> Result<Recording> {
        if is_stdio(path) {
            return Ok(Recording::Pipe { rate });
        }
        let pcm = audio::Limit::AtMost(LONGEST).read(path)?.pcm;
        Ok(Recording::File {
            rate: pcm.sample_rate(),
            samples: pcm.samples().to_vec(),
        })
    }

    /// Hz.
    pub fn rate(&self) -> u32 {
        match self {
            Recording::File { rate, .. } | Recording::Pipe { rate } => *rate,
        }
    }
}

/// Starts the thread. It ends when nobody takes its sound any more, and then gives the wav back, to
/// be put in its place.
pub fn start(
    recording: Recording,
    mut wav: Option<WavSink>,
    player: Arc<Mutex<Player>>,
    out_rate: u32,
    inputs: Sender<Input>,
) -> JoinHandle<Result<Option<WavSink>>> {
    std::thread::spawn(move || {
        let mut source = Source::new(recording);
        let mut out = vec![0.0; (out_rate / PIECES) as usize];
        let start = Instant::now();
        for piece in 1.. {
            let due = start + Duration::from_secs(1) * piece / PIECES;
            std::thread::sleep(due.saturating_duration_since(Instant::now()));
            if inputs.send(source.next()).is_err() {
                break;
            }
            let mut playing = player.lock().unwrap_or_else(PoisonError::into_inner);
            playing.fill(&mut out);
            drop(playing);
            if let Some(Err(error)) = wav.as_mut().map(|wav| wav.write(&out)) {
                // Where the listener went away the conversation ends, and that is all.
                let _ = inputs.send(Input::Stop);
                return unless_unread(Err(error)).map(|()| None);
            }
        }
        Ok(wav)
    })
}

/// The recording in pieces of 20 ms, then silence.
struct Source {
    recording: Recording,
    piece: usize,
    at: usize,
    is_over: bool,
}

impl Source {
    fn new(recording: Recording) -> Source {
        Source {
            piece: (recording.rate() / PIECES) as usize,
            recording,
            at: 0,
            is_over: false,
        }
    }

    fn next(&mut self) -> Input {
        if self.is_over {
            return Input::Sound(vec![0.0; self.piece]);
        }
        match self.read() {
            Ok(Some(samples)) => Input::Sound(samples),
            Ok(None) => {
                self.is_over = true;
                Input::Over
            }
            Err(error) => Input::Lost(format!("{error:#}")),
        }
    }

    /// The next piece; `None` at the end.
    fn read(&mut self) -> Result<Option<Vec<f32>>> {
        match &self.recording {
            Recording::File { samples, .. } => {
                let from = self.at;
                self.at = samples.len().min(from + self.piece);
                Ok((from < self.at).then(|| samples[from..self.at].to_vec()))
            }
            Recording::Pipe { .. } => read_piece(std::io::stdin().lock(), self.piece)
                .context("cannot read standard input"),
        }
    }
}

/// At most `n` samples, fewer at the end only.
fn read_piece(mut from: impl Read, n: usize) -> std::io::Result<Option<Vec<f32>>> {
    let mut bytes = vec![0; 2 * n];
    let mut filled = 0;
    while filled < bytes.len() {
        match from.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(n) => filled += n,
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let samples = bytes[..filled].chunks_exact(2);
    let samples: Vec<f32> = samples
        .map(|pair| f32::from(i16::from_le_bytes([pair[0], pair[1]])) / 32768.0)
        .collect();
    Ok((!samples.is_empty()).then_some(samples))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_is_followed_by_silence() {
        let recording = Recording::File {
            samples: vec![0.5; 500],
            rate: 16_000,
        };
        let mut source = Source::new(recording);
        let lengths: Vec<_> = (0..4)
            .map(|_| match source.next() {
                Input::Sound(samples) => (samples.len(), samples[0]),
                _ => (0, 0.0),
            })
            .collect();
        assert_eq!(lengths, [(320, 0.5), (180, 0.5), (0, 0.0), (320, 0.0)]);
    }

    #[test]
    fn raw_samples_are_read_in_pieces_and_half_a_sample_is_none() {
        let bytes = [0u8, 0x40, 0, 0xC0, 0, 0x20, 7];
        let mut from = &bytes[..];
        let read = |from: &mut &[u8]| read_piece(from, 2).expect("read");
        assert_eq!(read(&mut from), Some(vec![0.5, -0.5]));
        assert_eq!(read(&mut from), Some(vec![0.25]));
        assert_eq!(read(&mut from), None);
    }
}
