//! Steps to sound, on threads of its own beside the decoder, for one conversation or many.
//!
//! The decoder hands over frames as the delay pattern completes them. A codec thread always serves
//! the conversation whose player would run dry first: one that has not begun to sound is due since
//! its first frame. It takes a few frames at once, since a call costs less a frame than one alone,
//! yet no more, so that nobody waits long behind a conversation that is far ahead. A decoder that is
//! ahead of the codec waits: steps that only make the queue longer would take its cores.

use std::collections::VecDeque;
use std::ops::Deref;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
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

/// The speaking side of all answers being written.
pub struct Speech {
    queue: Mutex<Queue>,
    /// There may be work for a codec thread.
    wake: Condvar,
    /// There may be room for more frames.
    room: Condvar,
    sample_rate: u32,
}

#[derive(Default)]
struct Queue {
    voices: Vec<Voice>,
    named: u64,
    closed: bool,
}

/// One answer's sound.
struct Voice {
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
struct Job {
    id: VoiceId,
    state: Option<CodecState>,
    noise: Noise,
    frames: Vec<Frame>,
}

impl Speech {
    /// `sample_rate`: the codec's, Hz.
    pub fn new(sample_rate: u32) -> Speech {
        Speech {
            queue: Mutex::default(),
            wake: Condvar::new(),
            room: Condvar::new(),
            sample_rate,
        }
    }

    /// A voice for an answer whose question came at `start`.
    pub fn start(&self, reply: &Reply, noise: Noise, start: Instant) -> VoiceId {
        let mut queue = self.lock();
        queue.named += 1;
        let id = VoiceId(queue.named);
        queue.voices.push(Voice {
            id,
            reply: reply.clone(),
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

    /// Hands a frame over; one of a voice that failed goes nowhere.
    pub fn push(&self, id: VoiceId, frame: Frame) {
        if let Some(voice) = self.lock().find(id) {
            voice.since.get_or_insert_with(Instant::now);
            voice.frames.push_back(frame);
        }
        self.wake.notify_one();
    }

    /// Waits, no longer than `most`, until the codec has caught up with one of the voices that are
    /// still given frames; whether it has.
    pub fn wait_for_room(&self, most: Duration) -> bool {
        let queue = self.lock();
        if queue.has_room() {
            return true;
        }
        let (queue, _) = self
            .room
            .wait_timeout(queue, most)
            .unwrap_or_else(PoisonError::into_inner);
        queue.has_room()
    }

    /// No more frames: the answer ends with `trace` when all its sound is out.
    pub fn finish(&self, id: VoiceId, trace: Box<Trace>) {
        if let Some(voice) = self.lock().find(id) {
            voice.last = Some(trace);
        }
        self.wake.notify_one();
    }

    /// Forgets voices whose answers nobody wants any more.
    pub fn forget_cancelled(&self) {
        self.lock().forget_cancelled();
        self.wake.notify_all();
    }

    /// Dropping what this returns lets the threads go once the voices that were finished have
    /// sounded; others will never be and are forgotten.
    pub fn open(&self) -> Open<'_> {
        Open(self)
    }

    /// Decodes, until the speech is closed and every voice has ended.
    pub fn serve(&self, codec: &mut CodecDecoder) {
        let _stranded = Stranded(self);
        while let Some(mut job) = self.next_job() {
            let start = Instant::now();
            let pcm = job.run(codec);
            self.done(job, pcm, millis(start));
        }
    }

    fn next_job(&self) -> Option<Job> {
        let mut queue = self.lock();
        loop {
            queue.forget_cancelled();
            if let Some(job) = queue.next_job(self.sample_rate) {
                self.room.notify_one();
                return Some(job);
            }
            if queue.closed && queue.voices.is_empty() {
                return None;
            }
            queue = self
                .wake
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self, job: Job, pcm: Result<Vec<f32>>, took: Millis) {
        let mut queue = self.lock();
        let Some(at) = queue.voices.iter().position(|voice| voice.id == job.id) else {
            return;
        };
        let voice = &mut queue.voices[at];
        voice.codec += took;
        let flushed = job.frames.is_empty();
        let end = match pcm {
            Ok(pcm) => {
                voice.give(pcm);
                voice.work = job.state.map_or(Work::New, Work::Waiting);
                flushed.then(|| voice.record())
            }
            Err(error) => Some(Err(error)),
        };
        if let Some(end) = end {
            queue.voices.swap_remove(at).reply.end(end);
            self.wake.notify_all();
            self.room.notify_one();
        }
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Queue {
    fn find(&mut self, id: VoiceId) -> Option<&mut Voice> {
        self.voices.iter_mut().find(|voice| voice.id == id)
    }

    fn forget_cancelled(&mut self) {
        self.voices.retain(|voice| !voice.reply.is_cancelled());
    }

    fn has_room(&self) -> bool {
        let mut given = self.voices.iter().filter(|voice| voice.last.is_none());
        given.clone().next().is_none() || given.any(|voice| voice.frames.len() < BACKLOG)
    }

    /// The most urgent of the voices that have something to do.
    fn next_job(&mut self, sample_rate: u32) -> Option<Job> {
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
}

impl Voice {
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
    fn run(&mut self, codec: &mut CodecDecoder) -> Result<Vec<f32>> {
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

/// Speech that closes when this goes.
pub struct Open<'a>(&'a Speech);

impl Deref for Open<'_> {
    type Target = Speech;

    fn deref(&self) -> &Speech {
        self.0
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        let mut queue = self.0.lock();
        queue.closed = true;
        queue.voices.retain(|voice| voice.last.is_some());
        drop(queue);
        self.0.wake.notify_all();
    }
}

/// Ends every answer if a codec thread panics, so that nobody waits for it.
struct Stranded<'a>(&'a Speech);

impl Drop for Stranded<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            for voice in self.0.lock().voices.drain(..) {
                voice
                    .reply
                    .end(Err(Error::Sink("the codec's thread panicked".into())));
            }
        }
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
    fn speech(frames: &[usize]) -> (Speech, Vec<VoiceId>, Vec<Conversation>) {
        let speech = Speech::new(RATE);
        let (mut voices, mut conversations) = (Vec::new(), Vec::new());
        for &frames in frames {
            let (reply, conversation) = Reply::new(None);
            let voice = speech.start(&reply, Noise::Zero, Instant::now());
            (0..frames).for_each(|_| speech.push(voice, frame()));
            voices.push(voice);
            conversations.push(conversation);
        }
        (speech, voices, conversations)
    }

    /// The voice that a thread would serve now, and how many frames it would take.
    fn next(speech: &Speech) -> Option<(VoiceId, usize)> {
        let job = speech.lock().next_job(RATE)?;
        Some((job.id, job.frames.len()))
    }

    /// As if the last job had made so many samples.
    fn decoded(speech: &Speech, id: VoiceId, samples: usize) {
        let mut queue = speech.lock();
        let voice = queue.find(id).expect("a voice");
        voice.give(vec![0.0; samples]);
        voice.work = Work::New;
    }

    #[test]
    fn the_first_to_come_is_the_first_to_sound() {
        let (speech, voices, _held) = speech(&[1, 3]);
        assert_eq!(next(&speech), Some((voices[0], 1)));
        assert_eq!(next(&speech), Some((voices[1], FRAMES_A_CALL)));
        assert_eq!(
            next(&speech),
            None,
            "a voice is served by one thread at a time"
        );
    }

    #[test]
    fn whoever_runs_dry_first_is_served_first() {
        let (speech, voices, _held) = speech(&[9, 9, 9]);
        for (&voice, samples) in voices.iter().zip([5000, 1000, 3000]) {
            assert_eq!(next(&speech).map(|(id, _)| id), Some(voice));
            decoded(&speech, voice, samples);
        }
        assert_eq!(next(&speech), Some((voices[1], FRAMES_A_CALL)));
        decoded(&speech, voices[1], 9000);
        assert_eq!(next(&speech), Some((voices[2], FRAMES_A_CALL)));
    }

    #[test]
    fn a_voice_that_nobody_hears_is_not_served() {
        let (speech, voices, mut held) = speech(&[1, 1]);
        drop(held.remove(0));
        speech.forget_cancelled();
        assert_eq!(next(&speech), Some((voices[1], 1)));
    }

    #[test]
    fn there_is_room_until_every_voice_has_a_backlog() {
        let (speech, voices, _held) = speech(&[BACKLOG, BACKLOG - 1]);
        assert!(speech.wait_for_room(Duration::ZERO));
        speech.push(voices[1], frame());
        assert!(!speech.wait_for_room(Duration::ZERO));
        assert!(next(&speech).is_some());
        assert!(speech.wait_for_room(Duration::ZERO));
    }

    #[test]
    fn a_voice_without_frames_ends_after_the_last_flush() {
        let (speech, voices, _held) = speech(&[0]);
        assert_eq!(next(&speech), None);
        let trace = Trace::new("a1a2", 5, 8, Timings::default());
        speech.finish(voices[0], Box::new(trace));
        assert_eq!(next(&speech), Some((voices[0], 0)));
    }
}
