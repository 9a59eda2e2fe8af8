//! Held, released, discarded, cancelled: both ends of an answer without any model.

use super::*;

fn text(text: &str) -> Event {
    Event::Text(text.into())
}

fn trace() -> Box<Trace> {
    let mut trace = Trace::new("t1t2", 3, 8);
    trace.ended = Ended::Eot;
    Box::new(trace)
}

fn answer() -> (Sink, Answer) {
    Sink::new(Instant::now(), None)
}

#[test]
fn a_dropped_answer_is_cancelled() {
    let (sink, answer) = answer();
    assert!(!sink.is_over());
    drop(answer);
    assert!(sink.is_over());
}

#[test]
fn a_writer_that_vanishes_is_an_error_and_not_a_hang() {
    let (sink, mut answer) = answer();
    sink.event(text("a"));
    drop(sink);
    assert_eq!(answer.next(), Some(text("a")));
    assert!(answer.next().is_none() && answer.try_next().is_none());
    let error = answer.finish().expect_err("no end was told");
    assert_eq!(error.kind(), ErrorKind::Stopped);
}

#[test]
fn a_cancelled_answer_ends_with_its_record() {
    let (sink, mut answer) = answer();
    sink.event(Event::Audio(vec![0.0; 5]));
    assert!(answer.next().is_some());
    answer.cancel();
    sink.event(Event::Audio(vec![0.0; 7]));
    assert!(answer.try_next().is_none(), "nothing follows a cancel");
    sink.end(Ok(trace()));
    let trace = answer.finish().expect("a record");
    assert_eq!((trace.pcm_samples, trace.ended), (5, Ended::Cancelled));
    assert!(trace.timings_ms.first_audio.is_some());
}

#[test]
fn what_is_held_is_heard_after_its_release_alone() {
    let (sink, mut answer) = answer();
    sink.hold();
    sink.event(text("a"));
    assert_eq!(answer.try_next(), None);
    answer.release();
    assert_eq!(answer.try_next(), Some(text("a")));
    sink.event(text("b"));
    sink.end(Ok(trace()));
    assert_eq!(answer.next(), Some(text("b")));
    assert_eq!(answer.finish().expect("a record").ended, Ended::Eot);
}

#[test]
fn an_answer_that_ended_while_held_ends_with_its_release() {
    let (sink, mut answer) = answer();
    sink.hold();
    sink.event(text("a"));
    sink.end(Ok(trace()));
    assert_eq!(answer.try_next(), None);
    answer.release();
    assert_eq!(answer.next(), Some(text("a")));
    assert_eq!(answer.finish().expect("a record").ended, Ended::Eot);
}

#[test]
fn what_is_discarded_is_never_heard() {
    let (sink, mut answer) = answer();
    sink.hold();
    sink.event(text("a"));
    sink.end(Ok(trace()));
    answer.cancel();
    assert_eq!(answer.try_next(), None);
    assert_eq!(answer.finish().expect("a record").ended, Ended::Cancelled);
}

#[test]
fn a_receiver_that_breaks_or_panics_cancels_its_answer() {
    let breaks: Receive = Box::new(|_| ControlFlow::Break(()));
    let panics: Receive = Box::new(|_| panic!("a careless receiver"));
    for receive in [breaks, panics] {
        let (sink, answer) = Sink::new(Instant::now(), Some(receive));
        sink.event(text("a"));
        assert!(sink.is_over());
        sink.end(Ok(trace()));
        assert_eq!(answer.finish().expect("a record").ended, Ended::Cancelled);
    }
}

#[test]
fn the_first_end_counts() {
    let (sink, answer) = answer();
    sink.end(Err(stopped()));
    sink.end(Ok(trace()));
    assert!(answer.finish().is_err());
}
