//! The conversation itself: sound to the session, its events to the player and the screen.

use std::sync::mpsc::{Receiver, RecvTimeoutError};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use mini_omni::session::{AnswerEnd, AnswerId, Event, Latency, LatencySummary, Session};

use super::line::{Input, Line};
use super::player::Player;
use super::screen::Screen;

/// Looks at the player this often, even if nothing comes.
const TICK: Duration = Duration::from_millis(20);
/// A microphone that gives no sample for so long is gone: not every system says so.
const UNPLUGGED: Duration = Duration::from_secs(2);
/// Silence behind a recording within which nothing more is expected.
const SILENCE: Duration = Duration::from_secs(1);

pub struct Talking {
    session: Session,
    player: Arc<Mutex<Player>>,
    screen: Screen,
    codec_rate: u32,
    /// The answer that is heard, and the samples of its sound so far.
    answer: Option<(AnswerId, u64)>,
    /// Whether all of that sound has come.
    complete: bool,
    latencies: LatencySummary,
    underruns: usize,
    /// Since when the recording is over and nothing happens.
    silent_since: Option<Instant>,
    recording_over: bool,
    /// When the microphone gave its last samples; `None` where a file or a pipe is in its place, which
    /// may take its time.
    heard: Option<Instant>,
}

impl Talking {
    pub fn new(session: Session, screen: Screen, line: &Line, codec_rate: u32) -> Talking {
        Talking {
            session,
            player: line.player.clone(),
            screen,
            codec_rate,
            heard: line.is_live().then(Instant::now),
            answer: None,
            complete: false,
            latencies: LatencySummary::default(),
            underruns: 0,
            silent_since: None,
            recording_over: false,
        }
    }

    /// Talks until the person stops it, or the recording is over and answered.
    pub fn run(mut self, inputs: &Receiver<Input>) -> Result<()> {
        loop {
            match inputs.recv_timeout(TICK) {
                Ok(Input::Sound(samples)) => self.hear(&samples)?,
                Ok(Input::Over) => self.recording_over = true,
                Ok(Input::Lost(why)) => bail!("{why}"),
                Ok(Input::Told) | Err(RecvTimeoutError::Timeout) => self.check_microphone()?,
                Ok(Input::Stop) | Err(RecvTimeoutError::Disconnected) => break,
            }
            while let Some(event) = self.session.poll(Instant::now()) {
                self.take(event)?;
            }
            self.follow()?;
            if self.is_over() {
                break;
            }
        }
        self.screen.end_answer()?;
        self.tell();
        Ok(())
    }

    fn check_microphone(&self) -> Result<()> {
        match self.heard.is_some_and(|heard| heard.elapsed() > UNPLUGGED) {
            true => bail!("the microphone gives no sound any more; it may be unplugged"),
            false => Ok(()),
        }
    }

    fn hear(&mut self, samples: &[f32]) -> Result<()> {
        let now = Instant::now();
        self.heard = self.heard.map(|_| now);
        let state = match self.answer {
            Some(_) => "answering",
            None => "listening",
        };
        self.screen.meter(samples, state);
        Ok(self.session.hear(samples, now)?)
    }

    fn take(&mut self, event: Event) -> Result<()> {
        match event {
            Event::AnswerStarted { answer, .. } => {
                self.answer = Some((answer, 0));
                self.complete = false;
            }
            Event::Text { text, .. } => self.screen.text(&text),
            Event::Audio { answer, samples } => {
                if let Some((_, written)) = self.answer.as_mut().filter(|(id, _)| *id == answer) {
                    *written += samples.len() as u64;
                }
                self.player().put(answer, &samples)?;
            }
            Event::AnswerEnded { answer, end } => self.end(answer, &end)?,
            Event::Hold => self.player().hold(true),
            Event::Resume => self.player().hold(false),
            Event::Interrupted { .. } => self.interrupt()?,
            Event::Latency(latency) => self.time(&latency),
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, answer: AnswerId, end: &AnswerEnd) -> Result<()> {
        self.complete = true;
        self.player().complete(answer);
        match end {
            AnswerEnd::Failed(error) => self.screen.note(&format!("no answer: {error}")),
            AnswerEnd::Interrupted(_) | AnswerEnd::Cancelled(_) => self.interrupt()?,
            _ => {}
        }
        Ok(())
    }

    fn interrupt(&mut self) -> Result<()> {
        self.follow()?;
        self.player().drop_rest();
        self.answer = None;
        self.screen.end_answer()
    }

    fn time(&mut self, latency: &Latency) {
        self.latencies.add(*latency);
        self.screen.latency(latency);
    }

    /// Tells session and screen how far the answer has been played.
    fn follow(&mut self) -> Result<()> {
        let (played, idle) = {
            let player = self.player();
            (player.played(), player.is_idle())
        };
        let Some((answer, written)) = self.answer else {
            return Ok(());
        };
        if let Some((_, samples)) = played.filter(|(id, _)| *id == answer) {
            self.session.played(answer, samples, Instant::now());
            let seconds = |samples: u64| samples as f64 / f64::from(self.codec_rate);
            let whole = self.complete.then(|| seconds(written));
            self.screen.spoken(seconds(samples), whole)?;
        }
        if self.complete && idle {
            let underruns = self.player().underruns();
            self.underruns += underruns;
            self.answer = None;
            self.screen.spoken(f64::MAX, Some(1.0))?;
            self.screen.end_answer()?;
        }
        Ok(())
    }

    fn is_over(&mut self) -> bool {
        let quiet = self.recording_over && self.answer.is_none() && self.session.is_idle();
        let since = quiet.then(|| self.silent_since.unwrap_or_else(Instant::now));
        self.silent_since = since;
        since.is_some_and(|since| since.elapsed() >= SILENCE)
    }

    /// What the conversation was like.
    fn tell(&mut self) {
        let summary = &self.latencies;
        for (since, times) in [
            ("you fell silent", summary.speech_end()),
            ("the turn was over", summary.turn_end()),
            ("the model was asked", summary.request()),
        ] {
            if let Some(times) = times {
                self.screen.times(since, &times);
            }
        }
        if self.underruns > 0 {
            let n = self.underruns;
            self.screen
                .note(&format!("the loudspeaker ran dry {n} times"));
        }
    }

    fn player(&self) -> MutexGuard<'_, Player> {
        self.player.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
