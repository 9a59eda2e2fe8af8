//! The frames that wait for the codec, by stream, and whose turn it is.
//!
//! A stream is due when its player has played all it was given; one that has not begun to sound is
//! due since its first frame. The stream that is due first is served first, with a few frames at
//! once, since a call costs less a frame than one alone, yet no more, so that nobody waits long
//! behind an answer that is far ahead.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use crate::ask::{Event, Millis};
use crate::decoding::delay::Frame;
use crate::decoding::noise::Noise;
use crate::engine::sink::Sink;
use crate::error::Result;
use crate::graph::{CodecDecoder, CodecState};
use crate::trace::Trace;

/// Most frames of one codec call: from two on, a frame costs the least.
const FRAMES_A_CALL: usize = 2;
/// Frames of every stream that keep the codec's threads busy while the decoder waits.
const BACKLOG: usize = 2 * FRAMES_A_CALL;

/// Names a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StreamId(u64);

/// All streams.
#[derive(Default)]
pub(super) struct Streams {
    streams: Vec<Stream>,
    named: u64,
    closed: bool,
    /// Nobody will serve any stream.
    abandoned: bool,
}

/// One answer's sound.
struct Stream {
    id: StreamId,
    sink: Sink,
    noise: Noise,
    frames: VecDeque<Frame>,
    /// Frames whose samples were handed over.
    decoded: usize,
    /// When the first frame came.
    since: Option<Instant>,
    /// When the first sound left.
    sounding: Option<Instant>,
    samples: usize,
    work: Work,
    /// The answer's record, once there are no more frames.
    last: Option<Box<Trace>>,
}

/// Where a stream's codec state is.
enum Work {
    New,
    Waiting(CodecState),
    /// A thread has it.
    Busy,
}

/// What a codec thread takes from the queue.
pub(crate) struct Job {
    id: StreamId,
    state: Option<CodecState>,
    noise: Noise,
    /// None of them: what is still inside, at the end.
    frames: Vec<Frame>,
}

impl Streams {
    pub fn start(&mut self, sink: Sink, noise: Noise) -> StreamId {
        self.named += 1;
        let id = StreamId(self.named);
        if self.abandoned {
            return id; // The sink goes with it, and its answer ends when its last writer goes.
        }
        self.streams.push(Stream {
            id,
            sink,
            noise,
            frames: VecDeque::new(),
            decoded: 0,
            since: None,
            sounding: None,
            samples: 0,
            work: Work::New,
            last: None,
        });
        id
    }

    pub fn push(&mut self, id: StreamId, frame: Frame) {
        if let Some(stream) = self.find(id) {
            stream.since.get_or_insert_with(Instant::now);
            stream.frames.push_back(frame);
        }
    }

    /// No more frames.
    pub fn finish(&mut self, id: StreamId, trace: Box<Trace>) {
        if let Some(stream) = self.find(id) {
            stream.last = Some(trace);
        }
    }

    fn find(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.streams.iter_mut().find(|stream| stream.id == id)
    }

    /// Lets go of what nobody wants: the frames of cancelled answers, and their streams once they
    /// have their records; the streams of answers that failed. Whether any stream went.
    pub fn sweep(&mut self) -> bool {
        let before = self.streams.len();
        for stream in &mut self.streams {
            if stream.sink.is_cancelled() {
                stream.frames.clear();
            }
        }
        let gone = self.streams.extract_if(.., |stream| {
            let cancelled = stream.sink.is_cancelled() && stream.last.is_some();
            stream.sink.is_over() && !stream.is_busy() && (cancelled || stream.sink.has_ended())
        });
        gone.for_each(Stream::end);
        self.streams.len() < before
    }

    /// No stream is still given frames but those that were finished, which sound to their end.
    pub fn close(&mut self) {
        self.closed = true;
        self.streams.retain(|stream| stream.last.is_some());
    }

    /// Whether it was closed and nothing is left.
    pub fn is_over(&self) -> bool {
        self.closed && self.streams.is_empty()
    }

    /// Forgets all, for good; the answers end when their last writer goes.
    pub fn abandon(&mut self) {
        self.closed = true;
        self.abandoned = true;
        self.streams.clear();
    }

    /// Whether a stream that is still given frames has few of them; also if there is no such stream.
    pub fn has_room(&self) -> bool {
        let mut given = self.streams.iter().filter(|stream| stream.last.is_none());
        given.clone().next().is_none() || given.any(|stream| stream.frames.len() < BACKLOG)
    }

    /// Whether every stream that goes on has begun to sound, and has given its player so much more.
    pub fn are_ahead(&self, by: Duration, sample_rate: u32) -> bool {
        let until = Instant::now() + by;
        let ahead = |stream: &Stream| stream.sounding.is_some() && stream.due(sample_rate) > until;
        let mut going_on = self.streams.iter().filter(|stream| stream.goes_on());
        going_on.all(ahead)
    }

    /// Whether no stream has anything to do.
    pub fn is_quiet(&self) -> bool {
        let busy = |stream: &Stream| stream.has_work() || stream.is_busy();
        !self.streams.iter().any(busy)
    }

    /// The most urgent of the streams that have something to do.
    pub fn next_job(&mut self, sample_rate: u32) -> Option<Job> {
        let stream = self
            .streams
            .iter_mut()
            .filter(|stream| stream.has_work())
            .min_by_key(|stream| stream.due(sample_rate))?;
        let n = stream.frames.len().min(FRAMES_A_CALL);
        let state = match std::mem::replace(&mut stream.work, Work::Busy) {
            Work::Waiting(state) => Some(state),
            Work::New | Work::Busy => None,
        };
        Some(Job {
            id: stream.id,
            state,
            noise: stream.noise,
            frames: stream.frames.drain(..n).collect(),
        })
    }

    /// Takes a job back with the samples it made.
    pub fn done(&mut self, job: Job, pcm: Result<Vec<f32>>, took: Millis) {
        let Some(at) = self.streams.iter().position(|stream| stream.id == job.id) else {
            return;
        };
        let stream = &mut self.streams[at];
        stream.sink.time(|timings| timings.codec += took);
        match pcm {
            Ok(pcm) => {
                stream.give(pcm, job.frames.len());
                stream.work = job.state.map_or(Work::New, Work::Waiting);
                if job.frames.is_empty() {
                    self.streams.swap_remove(at).end();
                }
            }
            Err(error) => self.streams.swap_remove(at).sink.end(Err(error)),
        }
    }
}

impl Stream {
    fn is_busy(&self) -> bool {
        matches!(self.work, Work::Busy)
    }

    /// Whether more sound is to come.
    fn goes_on(&self) -> bool {
        self.last.is_none() || !self.frames.is_empty()
    }

    fn has_work(&self) -> bool {
        !self.is_busy() && (!self.frames.is_empty() || self.last.is_some())
    }

    /// When its player has played all it was given; before its first sound, when its first frame
    /// came.
    fn due(&self, sample_rate: u32) -> Instant {
        match self.sounding {
            Some(sounding) => {
                let seconds = self.samples as f64 / f64::from(sample_rate.max(1));
                sounding + Duration::from_secs_f64(seconds)
            }
            None => self.since.unwrap_or(self.sink.start()),
        }
    }

    /// Hands over samples of so many frames, unless nobody wants them any more.
    fn give(&mut self, pcm: Vec<f32>, frames: usize) {
        if self.sink.is_over() {
            return;
        }
        self.decoded += frames;
        if pcm.is_empty() {
            return;
        }
        self.sounding.get_or_insert_with(Instant::now);
        self.samples += pcm.len();
        self.sink.event(Event::Audio(pcm));
    }

    /// Ends its answer with the record.
    fn end(self) {
        if let Some(mut trace) = self.last {
            trace.frames = self.decoded;
            self.sink.end(Ok(trace));
        }
    }
}

impl Job {
    /// Frames that it decodes.
    #[cfg(all(test, shuttle))]
    pub fn n_frames(&self) -> usize {
        self.frames.len()
    }

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
    use crate::decoding::generation::Ended;
    use crate::engine::sink::Answer;
    use crate::error::{Error, ErrorKind};

    const RATE: u32 = 1000;

    fn frame() -> Frame {
        Frame::silence(7)
    }

    /// Streams whose questions came one after the other, each with `frames` waiting.
    fn streams(frames: &[usize]) -> (Streams, Vec<StreamId>, Vec<Answer>) {
        let mut streams = Streams::default();
        let (mut ids, mut answers) = (Vec::new(), Vec::new());
        for &frames in frames {
            let (sink, answer) = Sink::new(Instant::now(), None);
            let id = streams.start(sink, Noise::Zero);
            (0..frames).for_each(|_| streams.push(id, frame()));
            ids.push(id);
            answers.push(answer);
        }
        (streams, ids, answers)
    }

    fn trace() -> Box<Trace> {
        let mut trace = Trace::new("a1a2", 5, 8);
        trace.ended = Ended::Eoa;
        Box::new(trace)
    }

    fn end(mut answers: Vec<Answer>, at: usize) -> Trace {
        answers.remove(at).finish().expect("a record")
    }

    /// The stream that a thread would serve now, and how many frames it would take.
    fn next(streams: &mut Streams) -> Option<(StreamId, usize)> {
        let job = streams.next_job(RATE)?;
        Some((job.id, job.frames.len()))
    }

    /// Serves the next stream, as if that made so many samples.
    fn serve(streams: &mut Streams, samples: usize) -> Option<StreamId> {
        let job = streams.next_job(RATE)?;
        let id = job.id;
        streams.done(job, Ok(vec![0.0; samples]), 1.0);
        Some(id)
    }

    #[test]
    fn the_first_to_come_is_the_first_to_sound() {
        let (mut streams, ids, _answers) = streams(&[1, 3]);
        assert_eq!(next(&mut streams), Some((ids[0], 1)));
        assert_eq!(next(&mut streams), Some((ids[1], FRAMES_A_CALL)));
        assert_eq!(
            next(&mut streams),
            None,
            "one thread at a time serves a stream"
        );
    }

    #[test]
    fn the_first_to_run_dry_is_served_first() {
        let (mut streams, ids, _answers) = streams(&[9, 9, 9]);
        for (stream, samples) in ids.iter().zip([5000, 1000, 3000]) {
            assert_eq!(serve(&mut streams, samples), Some(*stream));
        }
        assert_eq!(serve(&mut streams, 9000), Some(ids[1]));
        assert_eq!(next(&mut streams), Some((ids[2], FRAMES_A_CALL)));
    }

    #[test]
    fn a_stream_that_nobody_hears_is_not_served() {
        let (mut streams, ids, mut answers) = streams(&[1, 1]);
        drop(answers.remove(0));
        streams.sweep();
        assert_eq!(next(&mut streams), Some((ids[1], 1)));
    }

    #[test]
    fn there_is_room_until_every_stream_has_a_backlog() {
        let (mut streams, ids, _answers) = streams(&[BACKLOG, BACKLOG - 1]);
        assert!(streams.has_room());
        streams.push(ids[1], frame());
        assert!(!streams.has_room());
        assert!(next(&mut streams).is_some());
        assert!(streams.has_room());
    }

    #[test]
    fn a_stream_without_frames_ends_after_the_last_flush() {
        let (mut streams, ids, answers) = streams(&[0]);
        assert_eq!(next(&mut streams), None);
        streams.finish(ids[0], trace());
        assert_eq!(serve(&mut streams, 7), Some(ids[0]));
        assert_eq!(end(answers, 0).pcm_samples, 7);
    }

    #[test]
    fn a_cancelled_stream_ends_with_the_frames_that_were_handed_over() {
        let (mut streams, ids, answers) = streams(&[5, 1]);
        assert_eq!(serve(&mut streams, 100), Some(ids[0]));
        assert_eq!(serve(&mut streams, 1), Some(ids[1]));
        let job = streams.next_job(RATE).expect("a job");
        answers[0].cancel();
        streams.finish(ids[0], trace());
        assert!(!streams.sweep(), "a thread has it");
        streams.done(job, Ok(vec![0.0; 100]), 1.0);
        streams.sweep();
        let trace = end(answers, 0);
        assert_eq!((trace.frames, trace.pcm_samples), (FRAMES_A_CALL, 100));
        assert_eq!(trace.ended, Ended::Cancelled);
    }

    #[test]
    fn a_codec_that_fails_ends_the_one_answer() {
        let (mut streams, ids, mut answers) = streams(&[1, 1]);
        let job = streams.next_job(RATE).expect("a job");
        streams.done(job, Err(Error::new(ErrorKind::Graph, "no")), 1.0);
        assert!(answers.remove(0).finish().is_err());
        assert_eq!(next(&mut streams), Some((ids[1], 1)));
    }
}
