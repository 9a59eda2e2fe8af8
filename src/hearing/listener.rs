//! Sound that is still coming to turns: who speaks, since when, and whether they are done.

use std::ops::Range;
use std::sync::Arc;

use super::echo::{Cleaned, Echo};
use super::frames::Frames;
use super::level::{Gain, HighPass};
use super::meaning::{Asked, Meaning, Wake};
use super::onset::Onset;
use super::tape::Tape;
use super::turns::{Frame, Turns};
use super::{FRAME, SAMPLE_RATE};
use crate::error::Result;
use crate::graph::{Runtime, Vad};

/// Samples that are kept: a minute, twice what models hear.
const KEPT: usize = 60 * SAMPLE_RATE as usize;
/// Probability from which a turn sounds complete.
const COMPLETE: f32 = 0.5;
/// Frames that may follow a question about the meaning before it is waited for (160 ms): sound that comes
/// faster than it was spoken must not run away from the judgement.
const MOST_AHEAD: u64 = 5;
/// Times the power of what may be echo from which a frame is more than echo.
const BEYOND_ECHO: f32 = 4.0;

/// What a listener has heard. Positions are samples at 16 kHz since the first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// Speech began; the pre-roll is included.
    Start {
        /// Its first sample.
        at: u64,
        /// Where its question begins: here, or with the turn before, if it goes on with that.
        from: u64,
    },
    /// It has paused: the turn may be over.
    Pause {
        /// What its question would be now.
        speech: Range<u64>,
    },
    /// It goes on behind a pause.
    Resume,
    /// The turn is over.
    End {
        /// Its sound, padding included.
        speech: Range<u64>,
        /// Where the voice itself ended, without any padding.
        silent_since: u64,
    },
    /// Somebody may be speaking into the answer that is being played.
    Overlap,
    /// It was a murmur, a noise or the answer's own echo.
    OverlapOver,
    /// Somebody speaks into the answer: a turn that goes on like one behind `Start`.
    Interruption {
        /// Its first sample.
        at: u64,
        /// As of `Start`.
        from: u64,
    },
}

/// When speech begins and ends.
#[derive(Debug, Clone, PartialEq)]
pub struct ListenerRules {
    /// Probability from which a frame is speech.
    pub threshold: f32,
    /// Milliseconds before the first speech that belong to it.
    pub pre_roll: usize,
    /// Pause that ends a turn, ms; `None`: the owner ends it.
    pub pause: Option<usize>,
    /// By meaning, whatever `pause` says: the longest pause that is waited for, ms.
    pub meaning: Option<usize>,
    /// Pause behind which [`Heard::Pause`] is told, ms.
    pub speculate: Option<usize>,
    /// Speech that begins sooner than this behind the voice of the turn before goes on with it, ms.
    pub goes_on: Option<usize>,
    /// Speech into an answer shorter than this is no interruption, ms.
    pub least_interruption: usize,
}

impl Default for ListenerRules {
    fn default() -> ListenerRules {
        ListenerRules {
            threshold: 0.5,
            pre_roll: 300,
            pause: Some(500),
            meaning: None,
            speculate: Some(160),
            goes_on: Some(500),
            least_interruption: 350,
        }
    }
}

impl ListenerRules {
    /// Whether the owner ends turns: then nothing is listened for, and sound is only kept.
    fn by_hand(&self) -> bool {
        self.pause.is_none() && self.meaning.is_none()
    }
}

/// Follows a microphone at 16 kHz. It keeps the sound of the last minute, without the echo of what was
/// played.
pub struct Listener {
    runtime: Runtime,
    rules: ListenerRules,
    vad: Vad,
    meaning: Option<Arc<Meaning>>,
    /// Whether the turn sounds complete was asked behind so many frames.
    asked: Option<(u64, Asked)>,
    wake: Wake,
    high_pass: HighPass,
    echo: Echo,
    onset: Onset,
    gain: Gain,
    frames: Frames,
    tape: Tape,
    turns: Turns,
    /// What was heard and played since the last whole frame.
    heard: Vec<f32>,
    played: Vec<f32>,
    /// Position behind the last sample that was heard while something was played.
    played_until: u64,
}

impl Listener {
    /// Has heard nothing. Where turns end by meaning, the graph for that is opened, if no other
    /// listener has.
    pub fn new(runtime: &Runtime, rules: ListenerRules) -> Result<Listener> {
        let mut listener = Listener {
            runtime: runtime.clone(),
            rules: rules.clone(),
            vad: Vad::open(runtime)?,
            meaning: None,
            asked: None,
            wake: Arc::new(|| ()),
            high_pass: HighPass::default(),
            echo: Echo::new(),
            onset: Onset::default(),
            gain: Gain::Following(0.0),
            frames: Frames::new(),
            tape: Tape::new(KEPT),
            turns: Turns::new(rules.clone()),
            heard: Vec::new(),
            played: Vec::new(),
            played_until: 0,
        };
        listener.set_rules(rules)?;
        Ok(listener)
    }

    /// Other rules from here on.
    pub fn set_rules(&mut self, rules: ListenerRules) -> Result<()> {
        if rules.meaning.is_some() && self.meaning.is_none() {
            self.meaning = Some(Meaning::shared(&self.runtime)?);
        }
        self.turns.set_rules(rules.clone());
        self.rules = rules;
        Ok(())
    }

    /// Has `wake` called, on another thread, when there is something new to [`Listener::judged`].
    pub fn on_judged(&mut self, wake: impl Fn() + Send + Sync + 'static) {
        self.wake = Arc::new(wake);
    }

    /// Takes samples in. It does not wait for the judgement whether a turn sounds complete, unless it is
    /// 160 ms of sound ahead of it. `playing`: what the loudspeaker plays while they were recorded, about, as
    /// many samples; `None` where it plays nothing.
    pub fn hear(&mut self, samples: &[f32], playing: Option<&[f32]>) -> Result<Vec<Heard>> {
        self.heard.extend(samples.iter().map(|&x| sane(x)));
        let played = playing.unwrap_or(&[]).iter().map(|&x| sane(x));
        let played = played.chain(std::iter::repeat(0.0));
        self.played.extend(played.take(samples.len()));
        self.tape
            .push(&self.heard[self.heard.len() - samples.len()..]);
        if playing.is_some() {
            self.played_until = self.position();
        }
        let mut told = Vec::new();
        while self.heard.len() >= FRAME {
            let at = self.position() - self.heard.len() as u64;
            let heard: Vec<f32> = self.heard.drain(..FRAME).collect();
            let played: Vec<f32> = self.played.drain(..FRAME).collect();
            told.extend(self.judgement()?);
            told.extend(self.frame(at, &heard, &played)?);
        }
        Ok(told)
    }

    /// The end of the turn, if it was judged to be complete since the last call.
    pub fn judged(&mut self) -> Result<Option<Heard>> {
        let Some((_, asked)) = &self.asked else {
            return Ok(None);
        };
        let told = asked.told();
        if !matches!(told, Ok(None)) {
            self.asked = None;
        }
        Ok(told?.and_then(|probability| self.judge(probability)))
    }

    /// The same, once it is known, where it was asked.
    pub fn wait(&mut self) -> Result<Option<Heard>> {
        let Some((_, asked)) = self.asked.take() else {
            return Ok(None);
        };
        let probability = asked.wait()?;
        Ok(self.judge(probability))
    }

    fn judge(&mut self, probability: f32) -> Option<Heard> {
        self.turns.is_complete(probability >= COMPLETE)
    }

    /// Samples heard.
    pub fn position(&self) -> u64 {
        self.tape.end()
    }

    /// The sound of `span`, as far as it is kept: the last minute.
    pub fn sound(&self, span: Range<u64>) -> Vec<f32> {
        self.tape.sound(span)
    }

    /// The turn under way is over here, or forgotten: listens anew.
    pub fn restart(&mut self) {
        self.asked = None;
        self.turns.restart(self.tape.end());
    }

    /// Listens to the frame that begins at `at`.
    fn frame(&mut self, at: u64, heard: &[f32], played: &[f32]) -> Result<Option<Heard>> {
        let high = self.high_pass.run(heard);
        let cleaned = self.echo.clean(&high, played);
        // What is left of an echo must not become as loud as a voice.
        let gain = self.gain.next(&high);
        let probability = match self.rules.by_hand() {
            true => 0.0,
            false => self.probability(cleaned.as_ref(), &high, gain)?,
        };
        let left = cleaned.as_ref().map_or(&high, |cleaned| &cleaned.samples);
        let frame = Frame {
            probability,
            playing: cleaned.is_some() || at < self.played_until,
            onset: self.onset.push(left, probability),
        };
        if let Some(cleaned) = cleaned {
            let echo = high
                .iter()
                .zip(&cleaned.samples)
                .map(|(all, left)| all - left);
            let left: Vec<f32> = heard
                .iter()
                .zip(echo)
                .map(|(heard, echo)| heard - echo)
                .collect();
            self.tape.replace(at, &left);
        }
        Ok(self.turn(frame))
    }

    /// The probability that a frame is speech, and more than echo.
    fn probability(&mut self, cleaned: Option<&Cleaned>, high: &[f32], gain: f32) -> Result<f32> {
        let mut frame = self.frames.push(cleaned.map_or(high, |c| &c.samples));
        frame *= gain;
        let probabilities = self.vad.probabilities(frame.view())?;
        match cleaned {
            Some(cleaned) if cleaned.beyond_echo < BEYOND_ECHO => Ok(0.0),
            _ => Ok(probabilities.first().copied().unwrap_or(0.0)),
        }
    }

    /// What is known of the meaning before the next frame.
    fn judgement(&mut self) -> Result<Option<Heard>> {
        match &self.asked {
            Some((since, _)) if self.turns.seen() >= since + MOST_AHEAD => self.wait(),
            _ => self.judged(),
        }
    }

    fn turn(&mut self, frame: Frame) -> Option<Heard> {
        let heard = self.turns.push(frame);
        if !self.turns.is_paused() {
            self.asked = None;
        }
        if let (Some(span), Some(meaning), None) = (self.turns.wants(), &self.meaning, &self.asked)
        {
            let asked = meaning.ask(self.tape.sound(span), self.wake.clone());
            self.asked = Some((self.turns.seen(), asked));
        }
        heard
    }
}

/// A sample that arithmetic survives: a stranger's float may be anything.
fn sane(sample: f32) -> f32 {
    if sample.is_finite() {
        sample.clamp(-8.0, 8.0)
    } else {
        0.0
    }
}
