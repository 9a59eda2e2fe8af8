//! Where the answer goes: its text, its sound, its trace.
//!
//! Each output stands for itself. One that fails, or whose reader went away, is left out and the
//! answer goes on for the others; it stops once nobody is left.

use std::io::{self, Write};
use std::ops::ControlFlow;

use anyhow::{Context, Error, Result, bail};
use mini_omni::{Ended, Event, Manifest, Trace};

use super::Ask;
use crate::cli::output::{Output, WavSink, is_stdout};
use crate::cli::terminal::{STDERR, STDOUT, cannot_write, is_unread, say};

/// The outputs that are still wanted.
pub struct Outputs {
    text: Option<TextSink>,
    sound: Option<WavSink>,
    trace: Option<Output>,
    /// Why others are not.
    failures: Vec<Error>,
}

/// The text of an answer, shown as it comes.
struct TextSink {
    to_stderr: bool,
    /// Whether the last line is not ended.
    within_line: bool,
}

impl Ask {
    /// Whether standard output is not free for the text.
    pub fn takes_stdout(&self) -> bool {
        let paths = [&self.out, &self.trace].into_iter().flatten();
        paths.into_iter().any(|path| is_stdout(path))
    }
}

impl Outputs {
    pub fn open(ask: &Ask, manifest: &Manifest) -> Result<Outputs> {
        let sample_rate = manifest.codec.sample_rate;
        let wav = |path: &std::path::PathBuf| WavSink::create(path, sample_rate);
        Ok(Outputs {
            sound: ask.out.as_ref().map(wav).transpose()?,
            trace: ask.trace.as_deref().map(Output::open).transpose()?,
            text: Some(TextSink {
                to_stderr: ask.takes_stdout(),
                within_line: false,
            }),
            failures: Vec::new(),
        })
    }

    /// Writes a piece of the answer; breaks where nobody wants the rest.
    pub fn take(&mut self, event: Event) -> ControlFlow<()> {
        match event {
            Event::Audio(pcm) => self.attempt_sound(&pcm),
            Event::Text(piece) => self.attempt_text(|text| text.write(&piece)),
            _ => {}
        }
        match self.text.is_some() || self.sound.is_some() || self.trace.is_some() {
            true => ControlFlow::Continue(()),
            false => ControlFlow::Break(()),
        }
    }

    /// Completes what is left, and says the last line. `None` where the readers had gone.
    /// `sample_rate`: the codec's, Hz.
    pub fn finish(
        mut self,
        trace: mini_omni::Result<Trace>,
        sample_rate: u32,
    ) -> Result<Option<Trace>> {
        let trace = match trace {
            Ok(trace) => trace,
            Err(error) => {
                self.attempt_text(TextSink::end_line);
                return Err(error.into());
            }
        };
        let wanted = self.text.is_some() || self.sound.is_some() || self.trace.is_some();
        match trace.ended {
            // No answer is not even an empty line.
            Ended::NoSpeech => self.attempt_text(TextSink::end_line),
            _ => self.attempt_text(TextSink::end),
        }
        self.complete(&trace)?;
        if !self.failures.is_empty() {
            let said: Vec<_> = self.failures.iter().map(|e| format!("{e:#}")).collect();
            bail!("{}", said.join("; "));
        }
        if wanted {
            say(summary(&trace, sample_rate));
        }
        Ok(wanted.then_some(trace))
    }

    /// Puts sound and trace in their places.
    fn complete(&mut self, trace: &Trace) -> Result<()> {
        if let Some(sound) = self.sound.take() {
            if !sound.has_sound() {
                say(format_args!("note: {}", sound.without_sound()));
            }
            self.note(sound.finish());
        }
        if let Some(output) = self.trace.take() {
            let json = serde_json::to_string(trace)? + "\n";
            self.note(output.complete(&json));
        }
        Ok(())
    }

    fn attempt_sound(&mut self, pcm: &[f32]) {
        if let Some(Err(error)) = self.sound.as_mut().map(|sound| sound.write(pcm)) {
            self.sound = None;
            self.note(Err(error));
        }
    }

    fn attempt_text(&mut self, write: impl FnOnce(&mut TextSink) -> io::Result<()>) {
        let Some(text) = &mut self.text else { return };
        if let Err(error) = write(text) {
            let name = if text.to_stderr { STDERR } else { STDOUT };
            self.text = None;
            self.note(Err(error).with_context(|| cannot_write(name)));
        }
    }

    /// Remembers a failure; that a reader went away is none.
    fn note(&mut self, written: Result<()>) {
        self.failures
            .extend(written.err().filter(|e| !is_unread(e)));
    }
}

impl TextSink {
    fn write(&mut self, piece: &str) -> io::Result<()> {
        if piece.is_empty() {
            return Ok(());
        }
        self.within_line = !piece.ends_with('\n');
        if self.to_stderr {
            return io::stderr().write_all(piece.as_bytes());
        }
        let mut stdout = io::stdout().lock();
        stdout.write_all(piece.as_bytes())?;
        stdout.flush()
    }

    /// Ends the answer, which is a line even if it is empty.
    fn end(&mut self) -> io::Result<()> {
        self.write("\n")
    }

    /// Ends a line that was begun, so that an error stands on its own.
    fn end_line(&mut self) -> io::Result<()> {
        match self.within_line {
            true => self.end(),
            false => Ok(()),
        }
    }
}

/// The last line: how soon, how fast, how long, and why no longer.
fn summary(trace: &Trace, sample_rate: u32) -> String {
    let total = trace.timings_ms.total / 1000.0;
    let ended = ended(trace.ended, trace.repeats);
    match (
        trace.timings_ms.first_audio,
        trace.real_time_factor(sample_rate),
    ) {
        (Some(first), Some(factor)) => format!(
            "first audio after {:.2} s, real-time factor {factor:.2} ({:.1} s of speech in {total:.1} s), {ended}",
            first / 1000.0,
            trace.pcm_samples as f64 / f64::from(sample_rate),
        ),
        _ => format!(
            "no audio, {} ids of text in {total:.2} s, {ended}",
            trace.tokens.last().map_or(0, Vec::len),
        ),
    }
}

/// Why an answer ended, in words.
fn ended(ended: Ended, repeats: bool) -> String {
    let why = match ended {
        Ended::Eoa | Ended::Eot => "ended by itself",
        Ended::Limit => "ended by its limit of steps",
        Ended::BadAudioId => "its sound ended early by an id that is no code of the codec",
        Ended::Padding => "ended after a long pause in its text",
        Ended::NoSpeech => "ended before it began, since no speech was heard",
        Ended::Cancelled => "ended early, since nobody wanted the rest",
        other => return format!("ended by {}", other.name()),
    };
    match repeats {
        true => format!("{why}, repeating itself"),
        false => why.into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_says_why_an_answer_ended() {
        assert_eq!(ended(Ended::Eoa, false), "ended by itself");
        assert_eq!(
            ended(Ended::Limit, true),
            "ended by its limit of steps, repeating itself"
        );
        assert!(ended(Ended::NoSpeech, false).contains("no speech"));
        assert!(ended(Ended::BadAudioId, false).contains("no code"));
    }
}
