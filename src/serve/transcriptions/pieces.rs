//! A long recording in pieces that the model can hear.
//!
//! Each piece ends where the recording is quietest, so that a word is cut only where somebody speaks
//! for half a minute without a breath.

use std::ops::Range;

/// Seconds over which loudness is taken.
const BREATH: f64 = 0.1;
/// The share of a piece in which its end is looked for.
const LAST: f64 = 0.5;

/// Cuts `samples` into spans of at most `longest` seconds.
pub fn cut(samples: &[f32], sample_rate: u32, longest: f64) -> Vec<Range<usize>> {
    let most = (longest * f64::from(sample_rate)) as usize;
    let breath = ((BREATH * f64::from(sample_rate)) as usize).clamp(1, most.max(1));
    let mut spans = Vec::new();
    let mut start = 0;
    while samples.len() - start > most {
        let from = start + ((1.0 - LAST) * most as f64) as usize;
        let end =
            quietest(&samples[from..start + most], breath).map_or(start + most, |at| from + at);
        spans.push(start..end);
        start = end;
    }
    spans.push(start..samples.len());
    spans
}

/// The middle of the quietest breath; of equals the last, so that pieces are long.
fn quietest(samples: &[f32], breath: usize) -> Option<usize> {
    let energy = |breath: &[f32]| {
        breath
            .iter()
            .map(|&x| f64::from(x) * f64::from(x))
            .sum::<f64>()
    };
    let energies = samples.chunks_exact(breath).map(energy).enumerate();
    let quietest = energies.min_by(|(i, a), (j, b)| a.total_cmp(b).then(j.cmp(i)));
    quietest.map(|(at, _)| at * breath + breath / 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: u32 = 1000;

    #[test]
    fn a_short_recording_is_one_piece() {
        assert_eq!(cut(&[0.5; 30_000], RATE, 30.0), vec![0..30_000]);
    }

    #[test]
    fn a_long_one_is_cut_in_its_pauses_and_nothing_is_lost() {
        let mut samples = vec![0.5; 75_000];
        samples[21_000..21_400].fill(0.0);
        samples[48_000..48_300].fill(0.01);
        let spans = cut(&samples, RATE, 30.0);
        assert_eq!(spans.len(), 3);
        assert!((21_000..21_400).contains(&spans[0].end), "{spans:?}");
        assert!((48_000..48_300).contains(&spans[1].end), "{spans:?}");
        assert_eq!(spans[0].start, 0);
        assert_eq!(spans[2].end, samples.len());
        assert!(spans.windows(2).all(|pair| pair[0].end == pair[1].start));
    }

    #[test]
    fn no_piece_is_longer_than_is_heard_nor_empty() {
        for n in [1, 29_999, 30_001, 60_000, 90_001, 300_000] {
            let spans = cut(&vec![0.3; n], RATE, 30.0);
            assert!(
                spans.iter().all(|span| (1..=30_000).contains(&span.len())),
                "{n}: {spans:?}"
            );
        }
    }
}
