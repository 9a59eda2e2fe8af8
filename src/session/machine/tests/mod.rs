//! Scripts: what is heard and answered, and what the owner is told.

use super::*;
use crate::ask;
use crate::decoding::generation::Ended;
use crate::error::ErrorKind;
use crate::hearing::Heard;
use play::{FRAME, Play, RATE, failure, trace};

mod any_order;
mod play;

#[test]
fn a_turn_is_answered_when_it_is_over() {
    let mut play = Play::new();
    play.start().end();
    assert_eq!(play.told(), "start1 stop1");
    assert!(play.machine.is_to_answer(), "nobody knows of it yet");
    play.text("Hi.").audio(1).done();
    assert!(!play.machine.is_to_answer());
    let told = format!("answer1to1 \"Hi.\" sound{FRAME} latency done1");
    assert_eq!((play.told(), play.ordered()), (told, "ask1".into()));
}

#[test]
fn an_answer_that_was_prepared_is_told_once_the_turn_is_over() {
    let mut play = Play::new();
    play.start().pause();
    assert_eq!(
        (play.told(), play.ordered()),
        ("start1".into(), "hold1".into())
    );
    play.after(340).end();
    assert_eq!(
        (play.told(), play.ordered()),
        ("stop1".into(), "release1".into())
    );
    play.machine
        .event(RunId(1), ask::Event::Audio(vec![0.0; 9]));
    play.after(10).take();
    let latency = play.told.iter().find_map(|event| match event {
        Event::Latency(latency) => Some(*latency),
        _ => None,
    });
    let latency = latency.expect("it sounded");
    assert_eq!((latency.turn_end, latency.request), (Some(10.0), 350.0));
    assert!(latency.speculative && latency.speech_end > latency.turn_end);
    assert_eq!(play.machine.speculation().used, 1);
}

#[test]
fn the_question_that_was_asked_is_the_one_that_is_told() {
    let lengths = [(true, 1600), (false, 3200)];
    for (prepared, length) in lengths {
        let mut play = Play::new();
        play.start();
        if prepared {
            play.pause();
        }
        play.end();
        let question = play.told.iter().find_map(|event| match event {
            Event::SpeechStopped { question, at, .. } => Some((question.samples().len(), *at)),
            _ => None,
        });
        assert_eq!(question, Some((length, length as f64 / 16.0)));
    }
}

#[test]
fn what_was_prepared_for_a_turn_that_goes_on_leaves_no_trace() {
    let mut play = Play::new();
    play.start().pause().hear(Heard::Resume);
    assert_eq!(play.ordered(), "hold1 cancel1");
    play.machine
        .event(RunId(1), ask::Event::Text("never".into()));
    // The next is asked only once the first has ended: its place is free then.
    play.pause().end();
    play.orders.clear();
    play.machine
        .ended(RunId(1), Ok(trace(Ended::Cancelled)), play.now());
    play.take();
    assert_eq!(play.ordered(), "ask2");
    assert_eq!(play.told(), "start1 stop1");
    let speculation = play.machine.speculation();
    assert_eq!(
        (speculation.begun, speculation.discarded, speculation.used),
        (2, 1, 1)
    );
}

#[test]
fn what_could_not_be_prepared_is_asked_again() {
    let mut play = Play::new();
    play.start().pause().ends(failure(ErrorKind::Busy)).end();
    assert_eq!(play.ordered(), "hold1 ask2");
    // Held, it ended with an error that is known at its release alone.
    let mut play = Play::new();
    play.start().pause();
    let held = play.asked();
    play.end();
    play.machine
        .ended(held, failure(ErrorKind::Graph), play.now());
    play.take();
    assert_eq!(play.ordered(), "hold1 release1 ask2");
    assert_eq!(play.told(), "start1 stop1");
}

#[test]
fn an_answer_that_fails_says_so() {
    let mut play = Play::new();
    play.start().end().ends(failure(ErrorKind::Busy));
    assert_eq!(play.told(), "start1 stop1 answer1to1 failed1");
}

#[test]
fn a_turn_without_speech_gets_no_answer_and_one_by_hand_gets_its_end() {
    let mut play = Play::new();
    play.start().end();
    play.say(ask::Event::NoSpeech)
        .ends(Ok(trace(Ended::NoSpeech)));
    assert_eq!(play.told(), "start1 stop1");
    let question = Question::Text("?".into());
    play.machine.ask(question, Reply::default(), play.now());
    play.take().ends(Ok(trace(Ended::NoSpeech)));
    assert_eq!(play.told(), "answer1 done1");
}

#[test]
fn a_murmur_holds_the_answer_and_speech_ends_it_where_it_was_heard() {
    let mut play = Play::new();
    play.start().end().text("One two").audio(10);
    play.told();
    play.after(100)
        .hear(Heard::Overlap)
        .after(200)
        .hear(Heard::OverlapOver);
    assert_eq!(play.told(), "hold resume");
    play.after(100)
        .hear(Heard::Overlap)
        .after(300)
        .interrupt(9600);
    let heard = 200 * RATE / 1000;
    assert_eq!(play.told(), format!("hold cut1:{heard}:\"\" start2"));
    assert_eq!(play.ordered(), format!("ask1 cut1:{heard} cancel1"));
    play.machine
        .event(RunId(1), ask::Event::Text("never".into()));
    play.machine
        .ended(RunId(1), Ok(trace(Ended::Cancelled)), play.now());
    play.take();
    assert_eq!(play.told(), "interrupted1");
}

#[test]
fn an_answer_that_is_written_and_still_sounds_is_cut_without_another_end() {
    let mut play = Play::new();
    play.start().end().text("One two").audio(10).done();
    play.told();
    play.after(850).interrupt(9600);
    let heard = 850 * RATE / 1000;
    assert_eq!(play.told(), format!("cut1:{heard}:\"One\" start2"));
}

#[test]
fn an_answer_that_was_heard_out_is_not_cut() {
    let mut play = Play::new();
    play.start().end().audio(10).done();
    play.told();
    play.after(5000).start();
    assert_eq!(play.told(), "start2");
}

#[test]
fn what_was_not_taken_of_an_answer_is_dropped_with_it() {
    let mut play = Play::new();
    play.start().end().audio(1);
    play.told();
    let run = play.asked();
    play.machine.event(run, ask::Event::Text("never".into()));
    play.machine.event(run, ask::Event::Audio(vec![0.0; FRAME]));
    play.after(10).interrupt(160);
    assert_eq!(play.told(), "cut1:240:\"\" start2");
}

#[test]
fn a_turn_whose_answer_has_not_begun_when_the_next_one_comes_has_an_end_too() {
    let mut play = Play::new();
    play.start().end().start();
    assert_eq!(play.told(), "start1 stop1 answer1to1 start2");
    assert_eq!(play.ordered(), "ask1 cut1:0 cancel1");
    play.end();
    play.machine
        .ended(RunId(1), Ok(trace(Ended::Cancelled)), play.now());
    play.take().text("Two.").done();
    assert_eq!(play.told(), "stop2 interrupted1 answer2to2 \"Two.\" done2");
    // Neither is one lost that waits for the end of the one before.
    play.start().end().start().end().start();
    assert_eq!(play.told(), "start3 stop3 answer3to3 start4 stop4 start5");
    // One after another: each ends before the next one begins.
    play.ends(Ok(trace(Ended::Cancelled)));
    assert_eq!(play.told(), "interrupted3 answer4to4 interrupted4");
}

#[test]
fn to_cancel_an_answer_leaves_the_next_turns_alone() {
    let mut play = Play::new();
    play.start().end().audio(10);
    play.after(100).interrupt(160).end();
    play.told();
    play.machine.cancel(AnswerId(1));
    play.machine
        .ended(RunId(1), Ok(trace(Ended::Cancelled)), play.now());
    play.take().text("Two.");
    assert_eq!(play.told(), "interrupted1 answer2to2 \"Two.\"");
}

#[test]
fn where_speech_must_not_interrupt_the_next_turn_does() {
    let mut play = Play::with(|rules| rules.interrupt = false);
    play.start().end().audio(10).done();
    play.told();
    play.after(100).hear(Heard::Overlap).interrupt(160);
    play.pause();
    assert_eq!(
        play.told(),
        "start2",
        "nothing is prepared while an answer sounds"
    );
    play.after(100).end();
    assert_eq!(play.told(), "stop2 cut1:4800:\"\"");
    assert_eq!(play.ordered(), "ask1 cut1:4800 ask2");
}

#[test]
fn a_player_that_reports_says_what_was_heard() {
    let mut play = Play::new();
    play.start().end().audio(10).done();
    play.told();
    play.after(200);
    play.machine.played(AnswerId(1), 1000, play.now());
    play.after(50).interrupt(160);
    assert!(play.told().starts_with("cut1:1000:"));
}

#[test]
fn a_question_by_hand_takes_the_place_of_what_is_under_way() {
    let mut play = Play::new();
    let ask = |play: &mut Play| {
        let question = Question::Text("?".into());
        play.machine.ask(question, Reply::default(), play.now());
        play.take();
    };
    ask(&mut play);
    ask(&mut play);
    ask(&mut play);
    let told = "answer1 cut1:0:\"\" answer2 cut2:0:\"\" cancelled2 answer3";
    assert_eq!(
        (play.told(), play.ordered()),
        (told.into(), "ask1 cut1:0 cancel1 cut2:0".into())
    );
    play.machine
        .ended(RunId(1), Ok(trace(Ended::Cancelled)), play.now());
    play.take();
    assert_eq!(
        (play.told(), play.ordered()),
        ("cancelled1".into(), "ask3".into())
    );
}

#[test]
fn a_cancelled_answer_sounds_no_further_than_was_taken() {
    let mut play = Play::new();
    play.start().end().audio(1);
    let run = play.asked();
    play.machine.event(run, ask::Event::Audio(vec![0.0; FRAME]));
    play.machine.cancel(AnswerId(1));
    play.machine.event(run, ask::Event::Audio(vec![0.0; FRAME]));
    play.take().ends(Ok(trace(Ended::Cancelled)));
    assert!(play.told().ends_with("latency cancelled1"));
    assert_eq!(play.ordered(), format!("ask1 cancel1 cut1:{FRAME}"));
    assert_eq!(play.machine.truncate(AnswerId(1), 9), Some(String::new()));
    assert_eq!(play.machine.truncate(AnswerId(7), 9), None);
}

#[test]
fn a_turn_that_is_ended_by_hand_is_not_answered_by_itself() {
    let mut play = Play::new();
    play.start().pause();
    assert_eq!(play.machine.commit(), TurnId(1));
    play.take();
    assert_eq!(play.ordered(), "hold1 cancel1");
    assert_eq!(play.machine.commit(), TurnId(2), "speech or not");
    play.end();
    assert_eq!(play.told(), "start1");
}

/// The length of each question that was asked, in samples.
fn lengths(play: &Play) -> Vec<usize> {
    let length = |order: &Order| match order {
        Order::Ask {
            question: Question::Audio(pcm),
            ..
        } => Some(pcm.samples().len()),
        _ => None,
    };
    play.orders.iter().filter_map(length).collect()
}

#[test]
fn a_turn_that_goes_on_is_asked_with_the_one_before_and_its_answer_forgotten() {
    let mut play = Play::new();
    play.start().end().text("One").audio(10).done();
    play.after(200).told();
    play.goes_on(3200).end();
    assert_eq!(lengths(&play), [3200, 6400], "both pieces are asked");
    let said = play.told.iter().find_map(|event| match event {
        Event::SpeechStopped { question, .. } => Some(question.samples().len()),
        _ => None,
    });
    assert_eq!(said, Some(3200), "what was said since the last turn");
    assert_eq!(play.told(), "cut1:4800:\"\" start2 stop2");
    assert_eq!(play.ordered(), "ask1 cut1:4800 forget1 ask2");
}

#[test]
fn a_turn_that_goes_on_is_prepared_whole() {
    let mut play = Play::new();
    play.start().end();
    play.goes_on(3200);
    play.ends(Ok(trace(Ended::Cancelled)));
    play.hear(Heard::Pause { speech: 3200..4800 }).end();
    assert_eq!(lengths(&play), [3200, 4800]);
    let told = "start1 stop1 answer1to1 start2 interrupted1 stop2";
    assert_eq!(play.told(), told);
    let ordered = "ask1 cut1:0 cancel1 forget1 hold2 release2";
    assert_eq!(play.ordered(), ordered);
}

#[test]
fn what_answers_another_turn_is_not_forgotten() {
    let mut play = Play::new();
    play.start().end().audio(1).done();
    play.after(5000).start().end();
    play.ends(Ok(trace(Ended::NoSpeech)));
    play.goes_on(3200).end();
    assert_eq!(
        play.ordered(),
        "ask1 ask2 ask3",
        "the last turn has no answer"
    );
}

#[test]
fn a_turn_goes_on_neither_beyond_the_longest_question_nor_where_none_is_interrupted() {
    for change in [
        |rules: &mut Rules| rules.longest = 6399,
        |rules: &mut Rules| rules.interrupt = false,
    ] {
        let mut play = Play::with(change);
        play.start().end().audio(1).done();
        play.after(200).goes_on(3200).end();
        assert_eq!(lengths(&play), [3200, 3200]);
    }
}
