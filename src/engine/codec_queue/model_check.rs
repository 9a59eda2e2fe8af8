//! The queue under a model checker: many orders of its threads, none of which may hang, lose an
//! answer's end or hand over a frame out of order. `make shuttle` runs it.

use std::sync::Arc;
use std::time::Instant;

use super::*;
use crate::decoding::generation::Ended;
use crate::engine::sink::Answer;
use crate::error::{Error, ErrorKind};

/// Orders of the threads to try, and frames of each answer.
const ORDERS: usize = 3_000;
const FRAMES: usize = 5;

fn trace() -> Box<Trace> {
    let mut trace = Trace::new("a1a2", 5, 8);
    trace.ended = Ended::Eoa;
    Box::new(trace)
}

/// A codec thread whose every frame is one sample; `fails` may spoil a job.
fn codec(
    queue: &Arc<CodecQueue>,
    fails: impl Fn() -> Result<()> + Send + 'static,
) -> shuttle::thread::JoinHandle<()> {
    let queue = queue.clone();
    shuttle::thread::spawn(move || {
        queue.serve(|job| {
            shuttle::thread::yield_now();
            fails()?;
            Ok(vec![0.0; job.n_frames()])
        });
    })
}

/// The decoder's part: frames of two answers, handed over in turn, then both finished.
fn write(queue: &CodecQueue, sinks: [Sink; 2]) {
    let open = queue.open();
    let ids = sinks.each_ref().map(|sink| open.start(sink, Noise::Zero));
    for _ in 0..FRAMES {
        for id in ids {
            open.wait_for_room(Duration::ZERO);
            open.push(id, Frame::silence(7));
        }
    }
    for id in ids {
        open.finish(id, trace());
    }
}

fn answers() -> ([Sink; 2], [Answer; 2]) {
    let [(a, first), (b, second)] = [(); 2].map(|()| Sink::new(Instant::now(), None));
    ([a, b], [first, second])
}

#[test]
fn every_answer_ends_whole_with_two_codec_threads() {
    let run = || {
        let queue = Arc::new(CodecQueue::new(24_000, false));
        let threads = [(); 2].map(|()| codec(&queue, || Ok(())));
        let (sinks, answers) = answers();
        write(&queue, sinks);
        for thread in threads {
            thread.join().expect("no panic");
        }
        for answer in answers {
            let trace = answer.finish().expect("a record");
            assert_eq!((trace.frames, trace.pcm_samples), (FRAMES, FRAMES));
        }
    };
    shuttle::check_random(run, ORDERS);
    shuttle::check_pct(run, ORDERS, 3);
}

/// The order that hung: an answer that still sounds is cancelled while the queue is being closed.
#[test]
fn a_cancel_while_the_queue_closes_leaves_nobody_waiting() {
    let run = || {
        let queue = Arc::new(CodecQueue::new(24_000, false));
        let threads = [(); 2].map(|()| codec(&queue, || Ok(())));
        let (sinks, [first, second]) = answers();
        let cancel = shuttle::thread::spawn(move || {
            shuttle::thread::yield_now();
            first.cancel();
            first
        });
        write(&queue, sinks);
        let first = cancel.join().expect("no panic");
        for thread in threads {
            thread.join().expect("no panic");
        }
        assert!(first.finish().expect("a record").frames <= FRAMES);
        assert_eq!(second.finish().expect("a record").frames, FRAMES);
    };
    shuttle::check_random(run, ORDERS);
    shuttle::check_pct(run, ORDERS, 3);
}

#[test]
fn a_codec_that_fails_ends_answers_and_nobody_waits() {
    let run = || {
        let queue = Arc::new(CodecQueue::new(24_000, true));
        let fails = || match shuttle::rand::Rng::r#gen::<bool>(&mut shuttle::rand::thread_rng()) {
            true => Err(Error::new(ErrorKind::Graph, "as a test")),
            false => Ok(()),
        };
        let threads = [(); 2].map(|()| codec(&queue, fails));
        let (sinks, answers) = answers();
        write(&queue, sinks);
        for thread in threads {
            thread.join().expect("no panic");
        }
        for answer in answers {
            // Whole, or an error; never a wait.
            assert!(answer.finish().map_or(true, |trace| trace.frames == FRAMES));
        }
    };
    shuttle::check_random(run, ORDERS);
}

#[test]
fn an_abandoned_queue_lets_everybody_go() {
    let run = || {
        let queue = Arc::new(CodecQueue::new(24_000, false));
        let threads = [(); 2].map(|()| codec(&queue, || Ok(())));
        let (sinks, answers) = answers();
        let dies = queue.clone();
        let death = shuttle::thread::spawn(move || dies.abandon());
        write(&queue, sinks);
        death.join().expect("no panic");
        for thread in threads {
            thread.join().expect("no panic");
        }
        // Each has its end, be it an error.
        for answer in answers {
            let _ = answer.finish();
        }
    };
    shuttle::check_random(run, ORDERS);
}
