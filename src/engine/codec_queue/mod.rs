//! Frames to sound, on threads of their own beside the decoder, for one answer or many.
//!
//! The decoder hands over frames as the delay pattern completes them. A codec thread always serves
//! the answer whose player would run dry first ([`streams`]). A decoder that is ahead of the codec
//! waits: steps that only make the queue longer would take its cores.
//!
//! Every change of the streams goes through [`CodecQueue::change`], which wakes all who wait. So
//! nobody can miss a change that concerns them; `make shuttle` tries many orders of the threads.

mod streams;

use std::ops::Deref;
use std::sync::PoisonError;
use std::time::{Duration, Instant};

use super::sink::Sink;
use crate::ask::{Millis, millis};
use crate::decoding::delay::Frame;
use crate::decoding::noise::Noise;
use crate::error::Result;
use crate::sync::{Condvar, Mutex, MutexGuard};
use crate::trace::Trace;
use streams::Streams;
pub(crate) use streams::{Job, StreamId};

/// The sound of all answers being written.
pub(crate) struct CodecQueue {
    streams: Mutex<Streams>,
    changed: Condvar,
    sample_rate: u32,
    /// Whether the decoder waits for all that the codec has to do.
    alternates: bool,
}

impl CodecQueue {
    /// `sample_rate`: the codec's, Hz; `alternates`: decoder and codec never run at the same time.
    pub fn new(sample_rate: u32, alternates: bool) -> CodecQueue {
        CodecQueue {
            streams: Mutex::default(),
            changed: Condvar::new(),
            sample_rate,
            alternates,
        }
    }

    /// A stream for an answer.
    pub fn start(&self, sink: &Sink, noise: Noise) -> StreamId {
        self.change(|streams| streams.start(sink.clone(), noise))
    }

    /// Hands a frame over; one of a stream that failed goes nowhere.
    pub fn push(&self, id: StreamId, frame: Frame) {
        self.change(|streams| streams.push(id, frame));
    }

    /// No more frames: the answer ends with `trace` when all its sound is out.
    pub fn finish(&self, id: StreamId, trace: Box<Trace>) {
        self.change(|streams| streams.finish(id, trace));
    }

    /// Ends the streams of answers that nobody wants any more.
    pub fn sweep(&self) {
        self.change(|_| ());
    }

    /// Waits, no longer than `most`, until the codec has caught up with one of the streams that are
    /// still given frames, or with all of them if decoder and codec take turns; whether it has.
    pub fn wait_for_room(&self, most: Duration) -> bool {
        let has_room = |streams: &Streams| match self.alternates {
            true => streams.is_quiet(),
            false => streams.has_room(),
        };
        let until = Instant::now() + most;
        let mut streams = self.lock();
        loop {
            if has_room(&streams) {
                return true;
            }
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            (streams, _) = self
                .changed
                .wait_timeout(streams, left)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Whether every answer that goes on has sounded, and its player has so much left to play.
    pub fn is_ahead(&self, by: Duration) -> bool {
        self.lock().are_ahead(by, self.sample_rate)
    }

    /// Dropping what this returns lets the codec threads go once the streams that were finished have
    /// sounded; others will never be and are forgotten.
    pub fn open(&self) -> Open<'_> {
        Open(self)
    }

    /// Serves the streams until the queue is closed and every stream has ended. `decode` makes a
    /// job's samples.
    pub fn serve(&self, mut decode: impl FnMut(&mut Job) -> Result<Vec<f32>>) {
        let _guard = DeathGuard(self);
        while let Some(mut job) = self.next_job() {
            let start = Instant::now();
            let pcm = decode(&mut job);
            self.done(job, pcm, millis(start.elapsed()));
        }
    }

    /// Forgets all streams, and lets the threads go.
    pub fn abandon(&self) {
        self.change(Streams::abandon);
    }

    fn next_job(&self) -> Option<Job> {
        let mut streams = self.lock();
        loop {
            // A stream whose answer was cancelled ends here, which may be what others wait for.
            if streams.sweep() {
                self.changed.notify_all();
            }
            if let Some(job) = streams.next_job(self.sample_rate) {
                self.changed.notify_all();
                return Some(job);
            }
            if streams.is_over() {
                return None;
            }
            streams = self
                .changed
                .wait(streams)
                .unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn done(&self, job: Job, pcm: Result<Vec<f32>>, took: Millis) {
        self.change(|streams| streams.done(job, pcm, took));
    }

    /// Changes the streams, and wakes all who wait for a change.
    fn change<T>(&self, change: impl FnOnce(&mut Streams) -> T) -> T {
        let mut streams = self.lock();
        let changed = change(&mut streams);
        streams.sweep();
        self.changed.notify_all();
        changed
    }

    fn lock(&self) -> MutexGuard<'_, Streams> {
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A queue that closes when this goes.
pub(crate) struct Open<'a>(&'a CodecQueue);

impl Deref for Open<'_> {
    type Target = CodecQueue;

    fn deref(&self) -> &CodecQueue {
        self.0
    }
}

impl Drop for Open<'_> {
    fn drop(&mut self) {
        self.0.change(Streams::close);
    }
}

/// Abandons the queue if a codec thread panics, so that nobody waits for it.
struct DeathGuard<'a>(&'a CodecQueue);

impl Drop for DeathGuard<'_> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.0.abandon();
        }
    }
}

#[cfg(all(test, shuttle))]
mod model_check;

#[cfg(all(test, not(shuttle)))]
mod tests {
    use super::*;
    use crate::error::ErrorKind;

    #[test]
    fn a_codec_thread_that_dies_leaves_nobody_waiting() {
        let queue = CodecQueue::new(24_000, false);
        let (sink, answer) = Sink::new(Instant::now(), None);
        std::thread::scope(|scope| {
            let dies = scope.spawn(|| queue.serve(|_| panic!("as a test")));
            let idle = scope.spawn(|| queue.serve(|_| Ok(Vec::new())));
            let open = queue.open();
            let id = open.start(&sink, Noise::Zero);
            drop(sink);
            while !dies.is_finished() && !idle.is_finished() {
                open.push(id, Frame::silence(7));
            }
            open.finish(id, Box::new(Trace::new("a1a2", 5, 8)));
            // Whichever took the frames: the dead one abandons the queue, and the other leaves.
            drop(open);
            let _ = (dies.join(), idle.join());
        });
        let end = answer.finish();
        assert!(end.is_ok() || end.is_err_and(|error| error.kind() == ErrorKind::Stopped));
    }
}
