//! The frames that wait for the codec, by conversation, and whose turn it is.
//!
//! A voice is due when its player has played all it was given; one that has not begun to sound is
//! due since its first frame. The voice that is due first is served first, with a few frames at once,
//! since a call costs less a frame than one alone, yet no more, so that nobody waits long behind a
//! conversation that is far ahead.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::conversation::Reply;
use crate::delay::Frame;
use crate::error::{Error, Result};
use crate::graph::{CodecDecoder, CodecState};
use crate::noise::Noise;
use crate::omni::{Event, millis};
use crate::trace::{Millis, Trace};

/// Most frames of one codec call: from two on, a frame costs the least.
const FRAMES_A_CALL: usize = 2;
/// Frames of every voice that keep the codec's threads busy while the decoder waits.
const BACKLOG: usize = 2 * FRAMES_A_CALL;

/// Names a voice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct VoiceId(u64);

/// All voices.
#[derive(Default)]
pub(super) struct Queue {
    voices: Vec<Voice>,
    named: u64,
    closed: bool,
}

/// One answer's sound.
pub(super) struct Voice {
    id: VoiceId,
    reply: Reply,
    noise: Noise,
    /// When the question came.
    start: Instant,
    frames: VecDeque<Frame>,
    /// When the first frame came.
    since: Option<Instant>,
    /// When the first sound left.
    sounding: Option<Instant>,
    samples: usize,
    codec: Millis,
    work: Work,
    /// The answer's record, once there are no more frames.
    last: Option<Box<Trace>>,
}

/// Where a voice's codec state is.
enum Work {
    New,
    Waiting(CodecState),
    /// A thread has it.
    Busy,
}

/// What a thread takes from the queue.
pub(super) struct Job {
    id: VoiceId,
    state: Option<CodecState>,
    noise: Noise,
    /// None of them: what is still inside, at the end.
    frames: Vec<Frame>,
}

impl Queue {
    pub fn start(&mut self, reply: Reply, noise: Noise, start: Instant) -> VoiceId {
        self.named += 1;
        let id = VoiceId(self.named);
        self.voices.push(Voice {
            id,
            reply,
            noise,
            start,
            frames: VecDeque::new(),
            since: None,
            sounding: None,
            samples: 0,
            codec: 0.0,
            work: Work::New,
            last: None,
        });
        id
    }

    pub fn find(&mut self, id: VoiceId) -> Option<&mut Voice> {
        self.voices.iter_mut().find(|voice| voice.id == id)
    }

    pub fn forget_cancelled(&mut self) {
        self.voices.retain(|voice| !voice.reply.is_cancelled());
    }

    /// No voice is still given frames but those that were finished, which sound to their end.
    pub fn close(&mut self) {
        self.closed = true;
        self.voices.retain(|voice| voice.last.is_some());
    }

    /// Whether it was closed and nothing is left.
    pub fn is_over(&self) -> bool {
        self.closed && self.voices.is_empty()
    }

    /// Ends every answer, for `why`.
    pub fn fail(&mut self, why: &str) {
        for voice in self.voices.drain(..) {
            voice.reply.end(Err(Error::Sink(why.into())));
        }
    }

    /// Whether a voice that is still given frames has few of them; also if there is no such voice.
    pub fn has_room(&self) -> bool {
        let mut given = self.voices.iter().filter(|voice| voice.last.is_none());
        given.clone().next().is_none() || given.any(|voice| voice.frames.len() < BACKLOG)
    }

    /// Whether no voice has anything to do.
    pub fn is_quiet(&self) -> bool {
        let busy = |voice: &Voice| voice.has_work() || matches!(voice.work, Work::Busy);
        !self.voices.iter().any(busy)
    }

    /// The most urgent of the voices that have something to do.
    pub fn next_job(&mut self, sample_rate: u32) -> Option<Job> {
        let voice = self
            .voices
            .iter_mut()
            .filter(|voice| voice.has_work())
            .min_by_key(|voice| voice.due(sample_rate))?;
        let n = voice.frames.len().min(FRAMES_A_CALL);
        let state = match std::mem::replace(&mut voice.work, Work::Busy) {
            Work::Waiting(state) => Some(state),
            Work::New | Work::Busy => None,
        };
        Some(Job {
            id: voice.id,
            state,
            noise: voice.noise,
            frames: voice.frames.drain(..n).collect(),
        })
    }

    /// Takes a job back with the samples it made; whether the answer ended with them.
    pub fn done(&mut self, job: Job, pcm: Result<Vec<f32>>, took: Millis) -> bool {
        let Some(at) = self.voices.iter().position(|voice| voice.id == job.id) else {
            return false;
        };
        let voice = &mut self.voices[at];
        voice.codec += took;
        let end = match pcm {
            Ok(pcm) => {
                voice.give(pcm);
                voice.work = job.state.map_or(Work::New, Work::Waiting);
                job.frames.is_empty().then(|| voice.record())
            }
            Err(error) => Some(Err(error)),
        };
        let ended = end.is_some();
        if let Some(end) = end {
            self.voices.swap_remove(at).reply.end(end);
        }
        ended
    }
}

impl Voice {
    pub fn push(&mut self, frame: Frame) {
        self.since.get_or_insert_with(Instant::now);
        self.frames.push_back(frame);
    }

    /// No more frames.
    pub fn finish(&mut self, trace: Box<Trace>) {
        self.last = Some(trace);
    }

    fn has_work(&self) -> bool {
        !matches!(self.work, Work::Busy) && (!self.frames.is_empty() || self.last.is_some())
    }

    /// When its player has played all it was given; before its first sound, when its first frame
    /// came.
    fn due(&self, sample_rate: u32) -> Instant {
        match self.sounding {
            Some(sounding) => {
                let seconds = self.samples as f64 / f64::from(sample_rate.max(1));
                sounding + Duration::from_secs_f64(seconds)
            }
            None => self.since.unwrap_or(self.start),
        }
    }

    fn give(&mut self, pcm: Vec<f32>) {
        if pcm.is_empty() {
            return;
        }
        self.sounding.get_or_insert_with(Instant::now);
        self.samples += pcm.len();
        self.reply.event(Event::Audio(pcm));
    }

    fn record(&mut self) -> Result<Box<Trace>> {
        let Some(mut trace) = self.last.take() else {
            return Err(Error::Sink("its sound ended before it did".into()));
        };
        trace.pcm_samples = self.samples;
        trace.timings_ms.codec = self.codec;
        trace.timings_ms.first_audio = self
            .sounding
            .map(|sounding| (sounding - self.start).as_secs_f64() * 1000.0);
        trace.timings_ms.total = millis(self.start);
        Ok(trace)
    }
}

impl Job {
    /// The samples that the frames complete; without frames, those still inside at the end.
    pub fn run(&mut self, codec: &mut CodecDecoder) -> Result<Vec<f32>> {
        let mut state = match self.state.take() {
            Some(state) => state,
            None => codec.start(self.noise)?,
        };
        let pcm = if self.frames.is_empty() {
            codec.finish(&mut state)
        } else {
            codec.decode(&mut state, &self.frames)
        };
        self.state = Some(state);
        pcm
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversation::Conversation;
    use crate::trace::Timings;

    const RATE: u32 = 1000;

    fn frame() -> Frame {
        Frame::silence(7)
    }

    /// Voices whose questions came one after the other, each with `frames` waiting.
    fn queue(frames: &[usize]) -> (Queue, Vec<VoiceId>, Vec<Conversation>) {
        let mut queue = Queue::default();
        let (mut voices, mut conversations) = (Vec::new(), Vec::new());
        for &frames in frames {
            let (reply, conversation) = Reply::new(None);
            let id = queue.start(reply, Noise::Zero, Instant::now());
            let voice = queue.find(id).expect("a voice");
            (0..frames).for_each(|_| voice.push(frame()));
            voices.push(id);
            conversations.push(conversation);
        }
        (queue, voices, conversations)
    }

    /// The voice that a thread would serve now, and how many frames it would take.
    fn next(queue: &mut Queue) -> Option<(VoiceId, usize)> {
        let job = queue.next_job(RATE)?;
        Some((job.id, job.frames.len()))
    }

    /// Serves the next voice, as if that made so many samples.
    fn serve(queue: &mut Queue, samples: usize) -> Option<VoiceId> {
        let job = queue.next_job(RATE)?;
        let id = job.id;
        queue.done(job, Ok(vec![0.0; samples]), 1.0);
        Some(id)
    }

    #[test]
    fn the_first_to_come_is_the_first_to_sound() {
        let (mut queue, voices, _held) = queue(&[1, 3]);
        assert_eq!(next(&mut queue), Some((voices[0], 1)));
        assert_eq!(next(&mut queue), Some((voices[1], FRAMES_A_CALL)));
        assert_eq!(
            next(&mut queue),
            None,
            "one thread at a time serves a voice"
        );
    }

    #[test]
    fn whoever_runs_dry_first_is_served_first() {
        let (mut queue, voices, _held) = queue(&[9, 9, 9]);
        for (voice, samples) in voices.iter().zip([5000, 1000, 3000]) {
            assert_eq!(serve(&mut queue, samples), Some(*voice));
        }
        assert_eq!(serve(&mut queue, 9000), Some(voices[1]));
        assert_eq!(next(&mut queue), Some((voices[2], FRAMES_A_CALL)));
    }

    #[test]
    fn a_voice_that_nobody_hears_is_not_served() {
        let (mut queue, voices, mut held) = queue(&[1, 1]);
        drop(held.remove(0));
        queue.forget_cancelled();
        assert_eq!(next(&mut queue), Some((voices[1], 1)));
    }

    #[test]
    fn there_is_room_until_every_voice_has_a_backlog() {
        let (mut queue, voices, _held) = queue(&[BACKLOG, BACKLOG - 1]);
        assert!(queue.has_room());
        queue.find(voices[1]).expect("a voice").push(frame());
        assert!(!queue.has_room());
        assert!(next(&mut queue).is_some());
        assert!(queue.has_room());
    }

    #[test]
    fn a_voice_without_frames_ends_after_the_last_flush() {
        let (mut queue, voices, held) = queue(&[0]);
        assert_eq!(next(&mut queue), None);
        let trace = Trace::new("a1a2", 5, 8, Timings::default());
        queue
            .find(voices[0])
            .expect("a voice")
            .finish(Box::new(trace));
        assert_eq!(serve(&mut queue, 7), Some(voices[0]));
        let trace = held.into_iter().next().map(Conversation::finish);
        assert_eq!(
            trace.expect("a conversation").expect("an end").pcm_samples,
            7
        );
    }

    #[test]
    fn a_codec_that_fails_ends_the_one_answer() {
        let (mut queue, voices, mut held) = queue(&[1, 1]);
        let job = queue.next_job(RATE).expect("a job");
        assert!(queue.done(job, Err(Error::Sink("no".into())), 1.0));
        assert!(held.remove(0).finish().is_err());
        assert_eq!(next(&mut queue), Some((voices[1], 1)));
    }
}
