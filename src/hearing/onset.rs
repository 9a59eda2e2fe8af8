//! A sound begins: known from its power within a frame, where the detector of speech takes its time.
//!
//! A voice may begin with a breath or a hiss ("s", "f") of a quarter of a second, for which Silero says
//! 0.05 to 0.3. Waiting for it would let an answer speak on into the person's first syllable. An onset
//! alone is no speech: the answer is only held for it, until the detector has said more.

use super::FRAME;

/// Times the power of the room from which a sound stands out: 12 dB.
const STANDS_OUT: f32 = 16.0;
/// What the room's power may rise by in a frame: 3 dB a second. It falls at once.
const RISE: f32 = 1.0224;
/// Least power of a room: -80 dBFS. There is noise in every microphone.
const LEAST: f32 = 1e-8;
/// Frames behind a rise that belong to it (256 ms): a hiss is over by then, and what goes on without a
/// voice is no person.
const LASTS: u32 = 8;
/// Frames below the rise that make the next one a new sound (160 ms).
const APART: u32 = 5;
/// Probability of speech below which a sound is none, however it begins: of the onsets of 70 recordings
/// 95 in 100 pass within 68 ms.
const LIKE_SPEECH: f32 = 0.05;

/// Follows the power of frames.
#[derive(Default)]
pub(super) struct Onset {
    /// Power of the room; 0 before the first frame.
    room: f32,
    /// Frames since the sound rose above it.
    since: u32,
    /// Frames since it was last above it.
    below: u32,
}

impl Onset {
    /// Takes a frame in; whether a sound that may be speech has just begun.
    pub fn push(&mut self, frame: &[f32], probability: f32) -> bool {
        let power = frame.iter().map(|x| x * x).sum::<f32>() / FRAME as f32;
        let power = power.max(LEAST);
        let room = if self.room == 0.0 { power } else { self.room };
        self.room = power.min(room * RISE);
        if power < STANDS_OUT * self.room {
            self.below = self.below.saturating_add(1);
            return false;
        }
        let new = std::mem::take(&mut self.below) >= APART;
        self.since = if new { 0 } else { self.since.saturating_add(1) };
        self.since < LASTS && probability >= LIKE_SPEECH
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn push(onset: &mut Onset, level: f32, n: usize) -> usize {
        let frame = [level; FRAME];
        (0..n).filter(|_| onset.push(&frame, 0.1)).count()
    }

    #[test]
    fn a_sound_that_stands_out_has_begun_for_a_quarter_of_a_second() {
        let mut onset = Onset::default();
        assert_eq!(push(&mut onset, 1e-3, 20), 0, "a room");
        assert_eq!(push(&mut onset, 3e-3, 20), 0, "10 dB above it");
        assert_eq!(push(&mut onset, 1e-2, 20), 8, "a fan that is switched on");
        push(&mut onset, 1e-3, 4);
        assert_eq!(push(&mut onset, 1e-2, 20), 0, "the same sound goes on");
        push(&mut onset, 1e-3, 5);
        assert_eq!(push(&mut onset, 1e-2, 3), 3);
    }

    #[test]
    fn what_is_nothing_like_speech_has_no_onset() {
        let mut onset = Onset::default();
        push(&mut onset, 1e-3, 20);
        assert!(!onset.push(&[0.1; FRAME], 0.02));
    }

    #[test]
    fn the_room_may_become_louder() {
        let mut onset = Onset::default();
        push(&mut onset, 0.0, 9);
        push(&mut onset, 1e-2, 1500);
        assert_eq!(push(&mut onset, 2e-2, 9), 0, "6 dB above the room of 40 s");
    }
}
