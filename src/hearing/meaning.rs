//! Does that sound complete? What a person says is over before their pause is long.
//!
//! The graph is smart-turn v3.2 (BSD-2, Daily), `smart_turn.onnx` of PyPI's pipecat-ai 1.14.0. It
//! hears the last 8 s of a turn, the pause included: a mel spectrogram as Whisper's, of samples
//! brought to mean 0 and variance 1, with silence before a turn that is shorter.

//! Judging takes 30 to 100 ms of a core, so a thread of its own does it, one for all conversations:
//! a listener goes on listening.

use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::thread;

use ndarray::Array2;

use super::SAMPLE_RATE;
use crate::audio::mel::MelSpectrogram;
use crate::error::{Error, ErrorKind, Result};
use crate::graph::{Runtime, SmartTurn};
use crate::model::manifest::MelDims;

/// Whisper's spectrogram, over 8 s.
const MEL: MelDims = MelDims {
    sample_rate: SAMPLE_RATE,
    n_fft: 400,
    hop_length: 160,
    n_mels: 80,
    max_seconds: 8,
    frames_per_feature: 2,
    feature_ms: 20,
};
/// Samples that the graph hears.
pub(super) const HEARD: usize = MEL.max_seconds * SAMPLE_RATE as usize;
/// Frames of the spectrogram.
const FRAMES: usize = HEARD / MEL.hop_length;
/// Keeps silence from being divided by 0.
const LEAST_VARIANCE: f64 = 1e-7;

/// Called when a judgement is there.
pub(super) type Wake = Arc<dyn Fn() + Send + Sync>;

/// The way to the thread that judges.
pub(super) struct Meaning {
    questions: Sender<Question>,
}

/// A turn that may be over.
struct Question {
    turn: Vec<f32>,
    /// Gone once nobody wants to know.
    wanted: Weak<()>,
    tell: Sender<Result<f32>>,
    wake: Wake,
}

/// What was asked and is not known yet. Dropping it takes the question back.
pub(super) struct Asked {
    _wanted: Arc<()>,
    told: Receiver<Result<f32>>,
}

impl Meaning {
    /// The one of this process: its thread and graph begin with the first who asks, and end behind the
    /// last.
    pub fn shared(runtime: &Runtime) -> Result<Arc<Meaning>> {
        static SHARED: Mutex<Weak<Meaning>> = Mutex::new(Weak::new());
        let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = shared.upgrade() {
            return Ok(open);
        }
        let graph = SmartTurn::open(runtime)?;
        let (questions, coming) = channel();
        thread::spawn(move || judge(graph, &coming));
        let open = Arc::new(Meaning { questions });
        *shared = Arc::downgrade(&open);
        Ok(open)
    }

    /// Asks how probable it is that a turn of these samples is over; `wake` is called once that is
    /// known.
    pub fn ask(&self, turn: Vec<f32>, wake: Wake) -> Asked {
        let (tell, told) = channel();
        let wanted = Arc::new(());
        // A thread that is gone drops the question, and the judgement does not come.
        let _ = self.questions.send(Question {
            turn,
            wanted: Arc::downgrade(&wanted),
            tell,
            wake,
        });
        Asked {
            _wanted: wanted,
            told,
        }
    }
}

impl Asked {
    /// The judgement, if it is there; `None` while it is not.
    pub fn told(&self) -> Result<Option<f32>> {
        match self.told.try_recv() {
            Ok(told) => told.map(Some),
            Err(TryRecvError::Empty) => Ok(None),
            Err(TryRecvError::Disconnected) => Err(died()),
        }
    }

    /// Waits for the judgement.
    pub fn wait(&self) -> Result<f32> {
        self.told.recv().unwrap_or_else(|_| Err(died()))
    }
}

fn died() -> Error {
    let sentence = "the thread that judges whether a turn is over has died";
    Error::new(ErrorKind::Stopped, sentence)
}

/// The thread.
fn judge(mut graph: SmartTurn, questions: &Receiver<Question>) {
    let mel = MelSpectrogram::new(&MEL);
    while let Ok(question) = questions.recv() {
        if question.wanted.strong_count() == 0 {
            continue;
        }
        let told = graph.probability(features(&mel, &question.turn).view());
        // Nobody may want it any more.
        let _ = question.tell.send(told);
        (question.wake)();
    }
}

/// Mel [80, 800] of the last 8 s of `turn`.
fn features(mel: &MelSpectrogram, turn: &[f32]) -> Array2<f32> {
    mel.compute(&normalised(turn), FRAMES)
}

/// The last [`HEARD`] samples, with silence before them where there are fewer, at mean 0 and
/// variance 1.
fn normalised(turn: &[f32]) -> Vec<f32> {
    let turn = &turn[turn.len().saturating_sub(HEARD)..];
    let sum = |value: fn(f64) -> f64| turn.iter().map(|&x| value(f64::from(x))).sum::<f64>();
    let mean = sum(|x| x) / HEARD as f64;
    let variance = sum(|x| x * x) / HEARD as f64 - mean * mean;
    let scale = (variance + LEAST_VARIANCE).sqrt();
    let silence = std::iter::repeat_n(0.0, HEARD - turn.len());
    let heard = silence.chain(turn.iter().copied());
    heard
        .map(|x| ((f64::from(x) - mean) / scale) as f32)
        .collect()
}

#[cfg(test)]
mod tests {
    use ndarray::{Array1, Array2};

    use super::*;

    #[test]
    fn a_question_has_smart_turns_own_features() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures");
        let question: Array1<f32> =
            ndarray_npy::read_npy(format!("{folder}/mel/pcm16k.npy")).unwrap();
        let expected: Array2<f32> =
            ndarray_npy::read_npy(format!("{folder}/hearing/smart_turn_mel.npy")).unwrap();
        let mel = features(&MelSpectrogram::new(&MEL), question.as_slice().unwrap());
        assert_eq!(mel.dim(), (80, 800));
        assert_eq!(expected.dim(), (80, 20));
        for ((band, i), expected) in expected.indexed_iter() {
            let found = mel[[band, 799 - 40 * i]];
            let off = (found - expected).abs();
            assert!(
                off < 1e-3,
                "band {band}, frame {}: off by {off}",
                799 - 40 * i
            );
        }
    }

    #[test]
    fn the_last_eight_seconds_are_heard_behind_silence() {
        let long: Vec<f32> = (0..2 * HEARD)
            .map(|i| if i < HEARD { 5.0 } else { (i % 2) as f32 })
            .collect();
        let heard = normalised(&long);
        assert_eq!(heard.len(), HEARD);
        assert!(
            (heard[0] + 1.0).abs() < 1e-4 && (heard[1] - 1.0).abs() < 1e-4,
            "{:?}",
            &heard[..2]
        );
        let short = normalised(&[1.0, -1.0]);
        assert_eq!((short.len(), short[0]), (HEARD, 0.0));
        assert!(short[HEARD - 2] > 0.0 && short[HEARD - 1] < 0.0);
        assert!(normalised(&[]).iter().all(|&x| x == 0.0));
    }
}
