//! Undoing the delay pattern: from steps, in which stream j lags, to codec frames.
//!
//! Frame m takes stream j's id from step m + delay_j (delays 1..7: step 0's audio is never used), so
//! n steps give n - 7 frames.

use std::collections::VecDeque;

/// The ids of one codec instant, one a stream (2048 samples of sound).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame(Vec<i64>);

impl Frame {
    /// A frame of `streams` first codes; what is fed behind a clip's end, where it is masked.
    pub fn silence(streams: usize) -> Frame {
        Frame(vec![0; streams])
    }

    /// The ids, by stream.
    pub fn ids(&self) -> &[i64] {
        &self.0
    }
}

impl From<Vec<i64>> for Frame {
    fn from(ids: Vec<i64>) -> Frame {
        Frame(ids)
    }
}

/// Frames as the codec's levels want them: coarse codes once a frame, fine ones several times.
#[derive(Debug, PartialEq, Eq)]
pub struct Codes {
    /// [level][codes in time order].
    pub levels: Vec<Vec<i64>>,
}

impl Codes {
    /// Sorts the ids of `frames` to `n_levels` levels; `levels` names each stream's.
    pub fn of(frames: &[Frame], levels: &[usize], n_levels: usize) -> Codes {
        let mut codes = Codes {
            levels: vec![Vec::new(); n_levels],
        };
        for frame in frames {
            for (&id, &level) in frame.ids().iter().zip(levels) {
                codes.levels[level].push(id);
            }
        }
        codes
    }
}

/// Collects steps until they complete a frame.
#[derive(Debug)]
pub struct DelayPattern {
    delays: Vec<usize>,
    longest: usize,
    /// The audio ids of the last `longest + 1` steps.
    steps: VecDeque<Vec<i64>>,
}

impl DelayPattern {
    /// `delays`: steps by which each stream lags.
    pub fn new(delays: &[usize]) -> DelayPattern {
        let longest = delays.iter().max().copied().unwrap_or(0);
        DelayPattern {
            delays: delays.to_vec(),
            longest,
            steps: VecDeque::new(),
        }
    }

    /// Takes a step's audio ids, one a stream; returns the frame they complete, if any.
    pub fn push(&mut self, audio: &[i64]) -> Option<Frame> {
        if self.steps.len() > self.longest {
            self.steps.pop_front();
        }
        self.steps.push_back(audio.to_vec());
        if self.steps.len() <= self.longest {
            return None;
        }
        let ids = self
            .delays
            .iter()
            .enumerate()
            .map(|(stream, &delay)| self.steps[delay][stream]);
        Some(Frame(ids.collect()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn step(n: i64) -> Vec<i64> {
        (0..7).map(|stream| n * 10 + stream).collect()
    }

    #[test]
    fn frame_m_takes_stream_j_from_step_m_plus_its_delay() {
        let mut pattern = DelayPattern::new(&[1, 2, 3, 4, 5, 6, 7]);
        let frames: Vec<_> = (0..10).map(|n| pattern.push(&step(n))).collect();
        assert!(
            frames[..7].iter().all(Option::is_none),
            "seven steps make no frame"
        );
        assert_eq!(frames[7], Some(Frame(vec![10, 21, 32, 43, 54, 65, 76])));
        assert_eq!(frames[9], Some(Frame(vec![30, 41, 52, 63, 74, 85, 96])));
    }

    #[test]
    fn codes_lie_by_level_in_time_order() {
        let frames = [
            Frame(vec![0, 1, 2, 3, 4, 5, 6]),
            Frame(vec![10, 11, 12, 13, 14, 15, 16]),
        ];
        let codes = Codes::of(&frames, &[0, 1, 2, 2, 1, 2, 2], 3);
        assert_eq!(codes.levels[0], [0, 10]);
        assert_eq!(codes.levels[1], [1, 4, 11, 14]);
        assert_eq!(codes.levels[2], [2, 3, 5, 6, 12, 13, 15, 16]);
    }

    /// The first nine steps of an answer of the original (T1A2 of its random checkpoint, "What is
    /// your name?"), and the codes it decoded.
    #[test]
    fn an_answer_gives_the_originals_codes() {
        let steps = [
            [3280, 3631, 3729, 2429, 2412, 1053, 226],
            [98, 2182, 793, 2966, 4032, 383, 3798],
            [637, 69, 524, 2429, 2657, 1421, 1645],
            [1143, 252, 2875, 1706, 3872, 1855, 1190],
            [4087, 4010, 2513, 1639, 2077, 1118, 2630],
            [3435, 3740, 3757, 384, 3940, 3680, 292],
            [1764, 1235, 1062, 2293, 2881, 3064, 3782],
            [4061, 3029, 3095, 4012, 1233, 4063, 1894],
            [421, 2539, 2802, 472, 1770, 278, 392],
        ];
        let mut pattern = DelayPattern::new(&[1, 2, 3, 4, 5, 6, 7]);
        let frames: Vec<_> = steps.iter().filter_map(|step| pattern.push(step)).collect();
        let codes = Codes::of(&frames, &[0, 1, 2, 2, 1, 2, 2], 3);
        assert_eq!(codes.levels[0], [98, 637]);
        assert_eq!(codes.levels[1], [69, 3940, 252, 2881]);
        assert_eq!(
            codes.levels[2],
            [2875, 1639, 3064, 1894, 2513, 384, 4063, 392]
        );
    }

    #[test]
    fn other_delays_and_other_counts_of_streams_work_the_same() {
        let mut together = DelayPattern::new(&[0, 0]);
        assert_eq!(together.push(&[1, 2]), Some(Frame(vec![1, 2])));
        let mut crossed = DelayPattern::new(&[2, 0, 1]);
        let frames: Vec<_> = (0..4).map(|n| crossed.push(&step(n)[..3])).collect();
        assert!(frames[..2].iter().all(Option::is_none));
        assert_eq!(frames[2], Some(Frame(vec![20, 1, 12])));
        assert_eq!(frames[3], Some(Frame(vec![30, 11, 22])));
    }
}
