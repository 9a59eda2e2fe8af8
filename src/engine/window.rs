//! What the encoder gets of a clip: how much mel, and which of its positions it computes.
//!
//! Behind a clip the encoder's window is silence, many nearly equal positions. In the merged window
//! the clip and a margin are computed, and of the silence the positions that the model's plan names;
//! each counts in the softmax as itself and those before it that are left out.

use crate::ask::EncoderWindow;
use crate::graph::Positions;
use crate::model::manifest::{MelDims, MergedWindow};

/// How a clip lies in the encoder's window.
#[derive(Debug, PartialEq)]
pub(crate) struct Window {
    /// Mel frames that the encoder gets.
    pub frames: usize,
    /// What a graph with a plan is told of its positions.
    pub positions: Option<Positions>,
}

/// Samples of a clip at the model's rate, and the audio features they make.
#[derive(Clone, Copy)]
pub(crate) struct Clip {
    pub n_samples: usize,
    pub n_features: usize,
}

impl Window {
    /// Of a model with these sizes and, perhaps, a plan; without one there is no merged window.
    pub fn of(
        dims: &MelDims,
        plan: Option<&MergedWindow>,
        window: EncoderWindow,
        clip: Clip,
    ) -> Window {
        let frames = frames(dims, window, clip.n_samples);
        let Some(plan) = plan else {
            return Window {
                frames,
                positions: None,
            };
        };
        let exact = (clip.n_features + plan.margin).max(first_silent(dims, clip.n_samples) + 1);
        if window == EncoderWindow::Merged && exact < dims.max_features() {
            return merged(dims, plan, exact);
        }
        Window {
            frames,
            positions: Some(all(frames / dims.frames_per_feature)),
        }
    }
}

/// Each of `n` positions for itself.
pub(crate) fn all(n: usize) -> Positions {
    Positions {
        rows: (0..n as i64).collect(),
        kept: (0..n as i64).collect(),
        log_counts: vec![0.0; n],
    }
}

/// The first `exact` positions for themselves, behind them those of the plan. The convolutions make
/// one row more: that of the window's last position, which sees its edge. The last exact row is
/// silence, as are all between the two.
fn merged(dims: &MelDims, plan: &MergedWindow, exact: usize) -> Window {
    let mut positions = all(exact);
    let silence = exact - 1;
    positions
        .rows
        .resize(dims.max_features() - 1, silence as i64);
    positions.rows.push(exact as i64);
    let mut last = silence;
    for &position in plan.kept.iter().filter(|&&position| position >= exact) {
        positions.kept.push(position as i64);
        positions.log_counts.push(((position - last) as f32).ln());
        last = position;
    }
    Window {
        frames: (exact + 1) * dims.frames_per_feature,
        positions: Some(positions),
    }
}

/// The first position whose row of the convolutions is of silence alone: together they see two
/// frames to each side.
fn first_silent(dims: &MelDims, n_samples: usize) -> usize {
    let silent_frame = (n_samples + dims.n_fft / 2) / dims.hop_length + 1;
    (silent_frame + 2).div_ceil(dims.frames_per_feature)
}

/// Mel frames of the full or the short window: whole features.
fn frames(dims: &MelDims, window: EncoderWindow, n_samples: usize) -> usize {
    let second = dims.sample_rate as usize / dims.hop_length;
    match window {
        EncoderWindow::Full | EncoderWindow::Merged => dims.max_frames(),
        EncoderWindow::Short => {
            let clip = n_samples.div_ceil(dims.hop_length) + second;
            clip.next_multiple_of(dims.frames_per_feature)
                .min(dims.max_frames())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audio::mel::tests::whisper as dims;
    use crate::audio::mel::{MelSpectrogram, n_features};

    fn plan(margin: usize, kept: Vec<usize>) -> MergedWindow {
        let json = serde_json::json!({ "margin": margin, "kept": kept });
        serde_json::from_value(json).expect("a plan")
    }

    fn clip(n_samples: usize) -> Clip {
        Clip {
            n_samples,
            n_features: n_features(&dims(), n_samples),
        }
    }

    fn of(plan: &MergedWindow, n_samples: usize) -> Window {
        let window = EncoderWindow::Merged;
        Window::of(&dims(), Some(plan), window, clip(n_samples))
    }

    #[test]
    fn every_position_is_computed_or_counted_once() {
        let plan = plan(50, vec![3, 120, 200, 201, 900, 1499]);
        for n_samples in [0, 1, 16_000, 32_000, 33_000, 200_000, 440_000, 480_000] {
            let positions = of(&plan, n_samples).positions.expect("positions");
            let counted: f32 = positions.log_counts.iter().map(|log| log.exp()).sum();
            assert!((counted - 1500.0).abs() < 0.01, "{n_samples}: {counted}");
            assert_eq!(positions.rows.len(), 1500);
            let n = clip(n_samples).n_features.min(1500);
            let exact = &positions.kept[..n];
            assert!(exact.iter().copied().eq(0..n as i64), "{n_samples}");
            assert!(positions.log_counts[..n].iter().all(|&log| log == 0.0));
            assert!(positions.kept.is_sorted_by(|a, b| a < b));
        }
    }

    #[test]
    fn a_plan_keeps_what_it_names_behind_the_margin() {
        let Window { frames, positions } = of(&plan(50, vec![3, 151, 200, 201, 1499]), 32_000);
        let positions = positions.expect("positions");
        assert_eq!(frames, 2 * 152, "101 features, the margin, and the edge");
        assert_eq!(positions.kept[151..], [151, 200, 201, 1499]);
        let counts: Vec<f32> = positions.log_counts[151..]
            .iter()
            .map(|l| l.exp())
            .collect();
        let expected = [1.0, 49.0, 1.0, 1298.0];
        assert!(
            counts
                .iter()
                .zip(expected)
                .all(|(a, b)| (a / b - 1.0).abs() < 1e-5)
        );
        assert_eq!(positions.rows[149..153], [149, 150, 150, 150]);
        assert_eq!(positions.rows[1497..], [150, 150, 151]);
    }

    #[test]
    fn rows_of_silence_see_no_sample() {
        // Loud to its end, so that a frame that sees a sample is no silence.
        for n_samples in [1, 159, 160, 200, 319, 320, 5_000, 32_000, 32_119, 32_121] {
            let samples = vec![0.5; n_samples];
            let mel = MelSpectrogram::new(&dims()).compute(&samples, 3000);
            let silent = first_silent(&dims(), n_samples);
            let seen = mel.slice(ndarray::s![.., 2 * silent - 2..]);
            assert!(seen.iter().all(|&x| x == mel[[0, 2999]]), "{n_samples}");
            let Window { frames, positions } = of(&plan(0, vec![1499]), n_samples);
            assert!(
                frames / 2 > silent && positions.expect("positions").rows[1498] >= silent as i64
            );
        }
    }

    #[test]
    fn other_windows_and_long_clips_compute_every_position() {
        let plan = plan(50, vec![1499]);
        let of = |window, n| Window::of(&dims(), Some(&plan), window, clip(n));
        for (window, n_samples, positions) in [
            (EncoderWindow::Full, 32_000, 1500),
            (EncoderWindow::Short, 32_000, 150),
            (EncoderWindow::Merged, 480_000, 1500),
        ] {
            let found = of(window, n_samples);
            assert_eq!(found.frames, 2 * positions);
            assert_eq!(found.positions, Some(all(positions)));
        }
        let none = Window::of(&dims(), None, EncoderWindow::Full, clip(32_000));
        assert_eq!((none.frames, none.positions), (3000, None));
    }
}
