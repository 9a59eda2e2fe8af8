//! Speech in a whole clip.

use std::ops::Range;

use ndarray::ArrayView2;

use super::detector::{Detector, Heard};
use super::level::{Gain, HighPass};
use super::segments::Rules;
use super::{FRAME, SAMPLE_RATE};
use crate::error::Result;

/// Samples that are heard at once: half a second. Once some speech is enough, the rest is left.
const BLOCK: usize = 16 * FRAME;
/// Samples of a clip that gets silence around it: the detector must have heard some to be sure of
/// a word that fills the clip from its first sample to its last. Longer clips get none: behind
/// silence a hum passes for a voice.
const SHORT: usize = SAMPLE_RATE as usize * 3 / 4;
/// Frames of silence before a short clip, and behind it.
const SILENCE: [usize; 2] = [1, 4];

/// What is looked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Speech {
    /// All of it.
    Spans,
    /// Any: the clip is left once some is found.
    Any,
}

/// Spans of speech in `pcm` (16 kHz), with [`Rules::clip`]'s padding, in order; none if there is no
/// speech. `probabilities` must have heard nothing.
pub(crate) fn speech(
    pcm: &[f32],
    what: Speech,
    mut probabilities: impl FnMut(ArrayView2<f32>) -> Result<Vec<f32>>,
) -> Result<Vec<Range<usize>>> {
    let gain = Gain::of_clip(&HighPass::default().run(pcm));
    let mut detector = Detector::new(Rules::clip(), gain);
    let [before, behind] = if pcm.len() < SHORT { SILENCE } else { [0, 0] };
    let mut spans = Spans::new(before * FRAME, pcm.len());
    let silence = vec![pcm.first().copied().unwrap_or(0.0); before * FRAME];
    spans.take(detector.push(&silence, &mut probabilities)?);
    for block in pcm.chunks(BLOCK) {
        spans.take(detector.push(block, &mut probabilities)?);
        if what == Speech::Any && spans.any() {
            return Ok(spans.finish());
        }
    }
    let silence = vec![pcm.last().copied().unwrap_or(0.0); behind * FRAME];
    spans.take(detector.push(&silence, &mut probabilities)?);
    spans.take(detector.finish(&mut probabilities)?);
    Ok(spans.finish())
}

/// Starts and ends, put together.
struct Spans {
    found: Vec<Range<usize>>,
    open: Option<usize>,
    /// Samples of silence before the clip.
    before: usize,
    length: usize,
}

impl Spans {
    fn new(before: usize, length: usize) -> Spans {
        Spans {
            found: Vec::new(),
            open: None,
            before,
            length,
        }
    }

    fn any(&self) -> bool {
        self.open.is_some() || !self.found.is_empty()
    }

    fn take(&mut self, heard: Vec<Heard>) {
        for one in heard {
            match one {
                Heard::Start(at) => self.open = Some(at),
                Heard::End(at) => self.close(at),
            }
        }
    }

    fn close(&mut self, end: usize) {
        let in_clip = |at: usize| at.saturating_sub(self.before).min(self.length);
        if let Some(start) = self.open.take() {
            self.found.push(in_clip(start)..in_clip(end));
        }
    }

    fn finish(mut self) -> Vec<Range<usize>> {
        self.close(usize::MAX);
        self.found
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::hearing::samples;

    /// Says the probabilities one after the other, and counts the frames it was asked for.
    fn scripted(script: Vec<f32>) -> (impl FnMut(ArrayView2<f32>) -> Result<Vec<f32>>, usize) {
        let n = script.len();
        let mut script = script.into_iter();
        let say = move |frames: ArrayView2<f32>| {
            Ok((0..frames.nrows())
                .map(|_| script.next().unwrap_or(0.0))
                .collect())
        };
        (say, n)
    }

    fn script(parts: &[(f32, usize)]) -> Vec<f32> {
        parts
            .iter()
            .flat_map(|&(p, n)| std::iter::repeat_n(p, n))
            .collect()
    }

    #[test]
    fn spans_have_their_padding_and_stay_in_the_clip() {
        let (say, n) = scripted(script(&[(0.9, 10), (0.0, 80), (0.9, 10)]));
        let length = n * FRAME - 100;
        let found = speech(&vec![0.1; length], Speech::Spans, say).expect("no graph");
        let padding = samples(300);
        let (first, last) = (0..10 * FRAME + padding, 90 * FRAME - padding..length);
        assert_eq!(found, [first, last]);
    }

    #[test]
    fn nothing_is_found_where_nothing_is_said() {
        let (say, n) = scripted(script(&[(0.1, 30), (0.45, 30)]));
        let found = speech(&vec![0.1; n * FRAME], Speech::Spans, say).expect("no graph");
        assert!(found.is_empty(), "{found:?}");
        let (say, _) = scripted(vec![]);
        let found = speech(&[], Speech::Spans, say).expect("no graph");
        assert!(found.is_empty(), "{found:?}");
    }

    #[test]
    fn the_rest_is_left_once_any_is_found() {
        let mut asked = 0;
        let say = |frames: ArrayView2<f32>| {
            asked += frames.nrows();
            Ok(vec![0.9; frames.nrows()])
        };
        let found = speech(&vec![0.1; 900 * FRAME], Speech::Any, say).expect("no graph");
        assert_eq!((found.len(), asked), (1, 16));
    }

    #[test]
    fn a_short_clip_is_heard_with_silence_around_it() {
        // The word's first frame is the second that is heard.
        let (say, _) = scripted(script(&[(0.0, 1), (0.9, 3), (0.0, 20)]));
        let found = speech(&vec![0.1; 3 * FRAME], Speech::Spans, say).expect("no graph");
        assert_eq!(found, vec![0..3 * FRAME]);
    }
}
