//! Steps to sound, on threads of its own beside the decoder, for one conversation or many.
//!
//! The decoder hands over frames as the delay pattern completes them. A codec thread always serves
//! the conversation whose player would run dry first ([`queue`]). A decoder that is ahead of the codec
//! waits: steps that only make the queue longer would take its cores.

mod queue;

use std::ops::Deref;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::conversation::Reply;
use crate::delay::Frame;
use crate::error::Result;
use crate::graph::CodecDecoder;
use crate::noise::Noise;
use crate::omni::millis;
use crate::trace::{Millis, Trace};
use queue::{Job, Queue};

pub use queue::VoiceId;

/// The speaking side of all answers being written.
pub struct Speech {
    queue: Mutex<Queue>,
    /// There may be work for a codec thread.
    wake: Condvar,
    /// There may be room for more frames.
    room: Condvar,
    sample_rate: u32,
    /// Whether the decoder waits for all that the codec has to do.
    turns: bool,
}

impl Speech {
    /// `sample_rate`: the codec's, Hz; `turns`: decoder and codec never run at the same time.
    pub fn new(sample_rate: u32, turns: bool) -> Speech {
        Speech {
            queue: Mutex::default(),
            wake: Condvar::new(),
            room: Condvar::new(),
            sample_rate,
            turns,
        }
    }

    /// A voice for an answer whose question came at `start`.
    pub fn start(&self, reply: &Reply, noise: Noise, start: Instant) -> VoiceId {
        self.lock().start(reply.clone(), noise, start)
    }

    /// Hands a frame over; one of a voice that failed goes nowhere.
    pub fn push(&self, id: VoiceId, frame: Frame) {
        if let Some(voice) = self.lock().find(id) {
            voice.push(frame);
        }
        self.wake.notify_one();
    }

    /// Waits, no longer than `most`, until the codec has caught up with one of the voices that are
    /// still given frames, or with all of them if decoder and codec take turns; whether it has.
    pub fn wait_for_room(&self, most: Duration) -> bool {
        let has_room = |queue: &Queue| match self.turns {
            true => queue.is_quiet(),
            false => queue.has_room(),
        };
        let queue = self.lock();
        if has_room(&queue) {
            return true;
        }
        let (queue, _) = self
            .room
            .wait_timeout(queue, most)
            .unwrap_or_else(PoisonError::into_inner);
        has_room(&queue)
    }

    /// No more frames: the answer ends with `trace` when all its sound is out.
    pub fn finish(&self, id: VoiceId, trace: Box<Trace>) {
        if let Some(voice) = self.lock().find(id) {
            voice.finish(trace);
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
            if queue.is_over() {
                return None;
            }
            queue = self
                .wake
                .wait(queue)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self, job: Job, pcm: Result<Vec<f32>>, took: Millis) {
        let ended = self.lock().done(job, pcm, took);
        if ended {
            self.wake.notify_all();
        }
        self.room.notify_one();
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
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
        self.0.lock().close();
        self.0.wake.notify_all();
    }
}

/// Ends every answer if a codec thread panics, so that nobody waits for it.
struct Stranded<'a>(&'a Speech);

impl Drop for Stranded<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.lock().fail("the codec's thread panicked");
        }
    }
}
