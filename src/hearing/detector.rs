//! Speech in sound that is still coming, in pieces of any size.

use ndarray::{ArrayView2, Axis, s};

use super::frames::Frames;
use super::level::{Gain, HighPass};
use super::segments::{Edge, Rules, Segments};
use super::{CONTEXT, FRAME};
use crate::error::Result;

/// Where speech began or ended, in samples since the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard {
    /// The first sample of it, the padding before it included: 0 if it begins with the sound.
    Start(usize),
    /// The first sample that is none of it, the padding behind it included. It may lie ahead of
    /// what has come.
    End(usize),
}

/// Follows sound at 16 kHz. It asks its caller for the probabilities of its frames
/// [n, 64 + 512], in order; a graph that remembers must be of this detector alone.
pub(crate) struct Detector {
    high_pass: HighPass,
    gain: Gain,
    frames: Frames,
    segments: Segments,
    padding: usize,
    /// Where the last speech ended: what comes before is none of the next.
    end: usize,
}

impl Detector {
    /// Has heard nothing.
    pub fn new(rules: Rules, gain: Gain) -> Detector {
        Detector {
            high_pass: HighPass::default(),
            gain,
            frames: Frames::new(),
            segments: Segments::new(rules),
            padding: rules.padding,
            end: 0,
        }
    }

    /// Takes samples in; what they say. `probabilities` is called once, or not at all where no
    /// frame is full.
    pub fn push(
        &mut self,
        samples: &[f32],
        probabilities: impl FnOnce(ArrayView2<f32>) -> Result<Vec<f32>>,
    ) -> Result<Vec<Heard>> {
        let samples = self.high_pass.run(samples);
        self.listen(&samples, probabilities)
    }

    /// The sound is over: the last samples are heard with silence behind them.
    pub fn finish(
        &mut self,
        probabilities: impl FnOnce(ArrayView2<f32>) -> Result<Vec<f32>>,
    ) -> Result<Vec<Heard>> {
        let missing = self.frames.rest().next_multiple_of(FRAME) - self.frames.rest();
        let mut heard = self.listen(&vec![0.0; missing], probabilities)?;
        let last = self.segments.finish();
        heard.extend(last.map(|edge| self.heard(edge)));
        Ok(heard)
    }

    fn listen(
        &mut self,
        samples: &[f32],
        probabilities: impl FnOnce(ArrayView2<f32>) -> Result<Vec<f32>>,
    ) -> Result<Vec<Heard>> {
        let mut frames = self.frames.push(samples);
        if frames.is_empty() {
            return Ok(Vec::new());
        }
        for mut frame in frames.axis_iter_mut(Axis(0)) {
            let new = frame.slice(s![CONTEXT..]);
            let gain = self.gain.next(new.as_slice().unwrap_or(&[]));
            frame *= gain;
        }
        let edges: Vec<Edge> = probabilities(frames.view())?
            .into_iter()
            .filter_map(|probability| self.segments.push(probability))
            .collect();
        Ok(edges.into_iter().map(|edge| self.heard(edge)).collect())
    }

    /// A frame's number as a sample's, with the padding. Two spans never overlap.
    fn heard(&mut self, edge: Edge) -> Heard {
        match edge {
            Edge::Start(frame) => {
                let start = (frame * FRAME).saturating_sub(self.padding);
                Heard::Start(start.max(self.end))
            }
            Edge::End(frame) => {
                self.end = frame * FRAME + self.padding;
                Heard::End(self.end)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A frame is speech if its samples are loud: a graph without one.
    fn loud(frames: ArrayView2<f32>) -> Result<Vec<f32>> {
        let loudest = |frame: ndarray::ArrayView1<f32>| {
            frame
                .slice(s![CONTEXT..])
                .iter()
                .fold(0.0f32, |a, x| a.max(x.abs()))
        };
        Ok(frames.outer_iter().map(|f| loudest(f).min(1.0)).collect())
    }

    fn detector(min_silence: usize, padding: usize) -> Detector {
        let rules = Rules {
            min_silence,
            padding,
            min_speech: 2,
            ..Rules::clip()
        };
        Detector::new(rules, Gain::Fixed(1.0))
    }

    /// Frames of a tone where `script` says so, and of silence.
    fn sound(script: &str) -> Vec<f32> {
        let sample = |loud: bool, i: usize| if loud { (i as f32 * 0.4).sin() } else { 0.0 };
        script
            .chars()
            .flat_map(|c| (0..FRAME).map(move |i| sample(c == 's', i)))
            .collect()
    }

    fn hear(mut detector: Detector, sound: &[f32], size: usize) -> Vec<Heard> {
        let mut heard = Vec::new();
        for piece in sound.chunks(size) {
            heard.extend(detector.push(piece, loud).expect("no graph"));
        }
        heard.extend(detector.finish(loud).expect("no graph"));
        heard
    }

    #[test]
    fn pieces_of_any_size_say_the_same() {
        let sound = sound("....sssss....ssss........ssssss..");
        let whole = hear(detector(6, 100), &sound, sound.len());
        assert_eq!(whole.len(), 4, "{whole:?}");
        assert_eq!(whole[0], Heard::Start(4 * FRAME - 100));
        for size in [1, 160, 511, 512, 513, 3000] {
            assert_eq!(hear(detector(6, 100), &sound, size), whole, "{size}");
        }
    }

    #[test]
    fn speech_at_the_first_sample_begins_there() {
        let heard = hear(detector(4, 4800), &sound("sssss......"), 320);
        assert_eq!(heard[0], Heard::Start(0));
    }

    #[test]
    fn the_padding_of_two_spans_does_not_overlap() {
        let heard = hear(
            detector(4, 4 * FRAME),
            &sound("sssss......sssss......"),
            320,
        );
        let [Heard::Start(0), Heard::End(end), Heard::Start(start), _] = heard[..] else {
            panic!("{heard:?}")
        };
        assert!(end <= start);
    }

    #[test]
    fn a_pause_is_told_once_it_is_long_enough() {
        let mut detector = detector(16, 0);
        let sound = sound("ssssss................");
        let told = sound.chunks(FRAME).position(|piece| {
            let heard = detector.push(piece, loud).expect("no graph");
            matches!(heard[..], [Heard::End(_)])
        });
        // The high pass rings for a frame behind the tone.
        assert!(
            told.is_some_and(|frame| (21..=22).contains(&frame)),
            "{told:?}"
        );
    }
}
