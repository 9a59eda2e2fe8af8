//! Samples to frames, whatever the size of the pieces they come in.

use ndarray::Array2;

use super::{CONTEXT, FRAME};

/// Cuts samples into frames of [`FRAME`], each behind the last [`CONTEXT`] of the one before.
pub(super) struct Frames {
    /// The context, then the samples that do not fill a frame yet.
    waiting: Vec<f32>,
}

impl Frames {
    /// Silence lies before the first sample.
    pub fn new() -> Frames {
        Frames {
            waiting: vec![0.0; CONTEXT],
        }
    }

    /// Takes samples in; the frames that are now full, [n, CONTEXT + FRAME].
    pub fn push(&mut self, samples: &[f32]) -> Array2<f32> {
        self.waiting.extend_from_slice(samples);
        let n = self.rest() / FRAME;
        let at = |(row, column)| self.waiting[row * FRAME + column];
        let frames = Array2::from_shape_fn((n, CONTEXT + FRAME), at);
        self.waiting.drain(..n * FRAME);
        frames
    }

    /// Samples that do not fill a frame yet.
    pub fn rest(&self) -> usize {
        self.waiting.len() - CONTEXT
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_of_any_size_make_the_same_frames() {
        let sound: Vec<f32> = (0..5000).map(|i| i as f32).collect();
        let whole = Frames::new().push(&sound);
        assert_eq!(whole.dim(), (9, CONTEXT + FRAME));
        assert_eq!((whole[[0, 63]], whole[[0, 64]]), (0.0, 0.0));
        assert_eq!((whole[[1, 0]], whole[[1, 64]]), (448.0, 512.0));
        for size in [1, 7, 511, 512, 513, 4000] {
            let mut frames = Frames::new();
            let mut rows = Vec::new();
            for piece in sound.chunks(size) {
                rows.extend(frames.push(piece).iter().copied());
            }
            assert_eq!(rows, whole.iter().copied().collect::<Vec<_>>(), "{size}");
            assert_eq!(frames.rest(), 5000 - 9 * FRAME);
        }
    }
}
