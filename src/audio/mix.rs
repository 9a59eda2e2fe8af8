//! Many channels to one.
//!
//! The mean, as players do it: a voice on one of two channels comes out at half its level. Only where
//! the channels cancel each other, as stereo with one wire swapped does, is the loudest heard alone.

/// Channels count as cancelling where their mean has less than this share of the power that
/// unrelated channels would leave in it; for two channels: where they correlate below -0.8.
const CANCELLED: f64 = 0.2;

/// One channel of `interleaved` ones.
pub(super) fn mono(interleaved: &[f32], channels: usize) -> Vec<f32> {
    let mean = mean(interleaved, channels);
    if channels < 2 {
        return mean;
    }
    let powers: Vec<f64> = (0..channels)
        .map(|channel| power(interleaved.iter().skip(channel).step_by(channels)))
        .collect();
    // Unrelated channels leave 1/n of their mean power in their mean, and that is 1/n of the sum.
    let unrelated = powers.iter().sum::<f64>() / (channels * channels) as f64;
    if power(mean.iter()) >= CANCELLED * unrelated {
        return mean;
    }
    let loudest = (0..channels)
        .rev()
        .max_by(|&a, &b| powers[a].total_cmp(&powers[b]))
        .unwrap_or(0);
    let frames = interleaved.chunks_exact(channels);
    frames.map(|frame| frame[loudest]).collect()
}

fn mean(interleaved: &[f32], channels: usize) -> Vec<f32> {
    let mean =
        |frame: &[f32]| frame.iter().map(|&x| f64::from(x)).sum::<f64>() / frame.len() as f64;
    interleaved
        .chunks_exact(channels.max(1))
        .map(|frame| mean(frame) as f32)
        .collect()
}

/// Mean square, less that of a constant offset, which is not heard.
fn power<'a>(samples: impl Iterator<Item = &'a f32>) -> f64 {
    let (mut n, mut sum, mut squares) = (0.0, 0.0, 0.0);
    for &x in samples {
        let x = f64::from(x);
        n += 1.0;
        sum += x;
        squares += x * x;
    }
    if n == 0.0 {
        return 0.0;
    }
    (squares / n - (sum / n).powi(2)).max(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wave(i: usize) -> f32 {
        0.5 * (i as f32 * 0.37).sin()
    }

    fn other(i: usize) -> f32 {
        0.5 * (i as f32 * 0.11).cos()
    }

    fn mix<const N: usize>(frame: impl Fn(usize) -> [f32; N]) -> Vec<f32> {
        mono(&(0..4000).flat_map(frame).collect::<Vec<f32>>(), N)
    }

    fn all(sample: impl Fn(usize) -> f32) -> Vec<f32> {
        (0..4000).map(sample).collect()
    }

    #[test]
    fn ordinary_channels_are_averaged() {
        assert_eq!(mix(|i| [wave(i)]), all(wave));
        assert_eq!(mix(|i| [wave(i), wave(i)]), all(wave));
        assert_eq!(mix(|i| [wave(i), 0.0]), all(|i| wave(i) / 2.0));
        let half_sum = all(|i| (wave(i) + other(i)) / 2.0);
        assert_eq!(mix(|i| [wave(i), other(i)]), half_sum);
        assert_eq!(mix(|i| [0.0, 0.0, 0.0, wave(i)]), all(|i| wave(i) / 4.0));
        // A difference that leaves a mean to hear is left as it is.
        let rest = mix(|i| [wave(i), -0.3 * wave(i)]);
        assert!((rest[1] - 0.35 * wave(1)).abs() < 1e-6);
    }

    #[test]
    fn of_channels_that_cancel_the_loudest_is_heard() {
        assert_eq!(mix(|i| [wave(i), -wave(i)]), all(wave));
        assert_eq!(mix(|i| [-0.9 * wave(i), wave(i)]), all(wave));
        assert_eq!(mix(|i| [0.0, 0.0, wave(i), -wave(i)]), all(wave));
        // An offset on both channels does not hide it, nor does a little noise.
        let loud = |heard: &[f32]| heard.iter().any(|x| x.abs() > 0.4);
        assert!(loud(&mix(|i| [0.3 + wave(i), 0.3 - wave(i)])));
        assert!(loud(&mix(|i| [wave(i), 0.2 * other(i) - wave(i)])));
    }

    #[test]
    fn silence_is_silence() {
        assert_eq!(mix(|_| [0.0, 0.0]), all(|_| 0.0));
        assert!(mono(&[], 2).is_empty());
        assert!(mono(&[1.0], 2).is_empty());
    }
}
