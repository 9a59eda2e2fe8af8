//! Inputs in any order: what must hold whatever comes.

use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use super::*;

/// What may be said in any order of inputs.
#[derive(Default)]
struct Invariants {
    started: Vec<AnswerId>,
    ended: Vec<AnswerId>,
    interrupted: Vec<AnswerId>,
    held: bool,
}

impl Invariants {
    fn see(&mut self, event: &Event) {
        match event {
            Event::AnswerStarted { answer, .. } => {
                assert!(self.started.last().is_none_or(|last| last < answer));
                self.started.push(*answer);
            }
            Event::Text { answer, text } => {
                assert_ne!(text, "discarded");
                self.may_go_on(*answer);
            }
            Event::Audio { answer, .. } => self.may_go_on(*answer),
            Event::AnswerEnded { answer, .. } => {
                assert!(self.started.contains(answer) && !self.ended.contains(answer));
                self.ended.push(*answer);
            }
            Event::Interrupted { answer, .. } => {
                assert!(self.started.contains(answer) && !self.interrupted.contains(answer));
                self.interrupted.push(*answer);
                self.held = false;
            }
            Event::Hold => assert!(!std::mem::replace(&mut self.held, true)),
            Event::Resume => assert!(std::mem::take(&mut self.held)),
            Event::Latency(latency) => assert_eq!(self.started.last(), Some(&latency.answer)),
            Event::SpeechStarted { .. } | Event::SpeechStopped { .. } => {}
        }
    }

    /// Only the last answer that began says anything, and not behind its end.
    fn may_go_on(&self, answer: AnswerId) {
        assert_eq!(self.started.last(), Some(&answer));
        assert!(!self.ended.contains(&answer) && !self.interrupted.contains(&answer));
    }
}

/// A scheduler as the machine knows it: what it was asked, in order, and what is held.
#[derive(Default)]
struct Asked {
    runs: Vec<(RunId, bool)>,
    discarded: Vec<RunId>,
    under_way: usize,
}

impl Asked {
    fn obey(&mut self, machine: &mut Machine) {
        while let Some(order) = machine.next_order() {
            match order {
                Order::Ask { run, held, .. } => {
                    assert_eq!(self.under_way, 0, "one at a time");
                    self.under_way = 1;
                    self.runs.push((run, held));
                }
                Order::Release(run) => {
                    let last = self.runs.last_mut().expect("it was asked");
                    assert_eq!(*last, (run, true));
                    last.1 = false;
                }
                Order::Cancel(run) => {
                    let (last, held) = *self.runs.last().expect("it was asked");
                    assert_eq!(last, run);
                    if held {
                        self.discarded.push(run);
                    }
                }
                Order::Cut { .. } | Order::Forget(_) => {}
            }
        }
    }
}

#[test]
fn in_any_order_of_inputs_nothing_is_told_that_must_not_be() {
    for seed in 0..400 {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let mut play = Play::with(|rules| {
            rules.interrupt = seed % 3 > 0;
            rules.answer = seed % 7 > 0;
        });
        let (mut invariants, mut asked) = (Invariants::default(), Asked::default());
        for _ in 0..300 {
            play.ms += u64::from(random.next_u32() % 200);
            let pick = random.next_u32();
            any_input(&mut play, &mut asked, pick);
            asked.obey(&mut play.machine);
            while pick % 5 > 0
                && let Some(event) = play
                    .machine
                    .next_event(play.start + Duration::from_millis(play.ms))
            {
                invariants.see(&event);
            }
        }
        settle(&mut play, &mut asked, &mut invariants);
        let mut ended = invariants.ended.clone();
        ended.sort();
        assert_eq!(invariants.started, ended, "seed {seed}: one end each");
        let speculation = play.machine.speculation();
        let outcomes = speculation.used + speculation.discarded + speculation.failed;
        assert_eq!(speculation.begun, outcomes, "seed {seed}: {speculation:?}");
    }
}

/// One input, chosen by `pick`: what is heard, said by the scheduler, or done by hand.
fn any_input(play: &mut Play, asked: &mut Asked, pick: u32) {
    let now = play.now();
    let sound = |span: Range<u64>| vec![0.1; (span.end - span.start) as usize];
    let moment = Moment {
        now,
        position: play.ms * 16,
        sound: &sound,
    };
    let machine = &mut play.machine;
    let last = asked.runs.last().copied();
    let from = u64::from(pick / 256 % 2 * 9); // with the turn before, or without it
    match pick / 16 % 16 {
        0 => machine.heard(Heard::Start { at: 9, from }, &moment),
        1 | 2 => machine.heard(Heard::Pause { speech: 0..99 }, &moment),
        3 => machine.heard(Heard::Resume, &moment),
        4 | 5 => machine.heard(
            Heard::End {
                speech: 0..199,
                silent_since: 99,
            },
            &moment,
        ),
        6 => machine.heard(Heard::Overlap, &moment),
        7 => machine.heard(Heard::OverlapOver, &moment),
        8 => machine.heard(Heard::Interruption { at: 9, from }, &moment),
        9 => {
            machine.ask(Question::Text("?".into()), Reply::default(), now);
        }
        10 => match pick / 256 % 4 {
            0 => drop(machine.commit()),
            1 => machine.clear(),
            2 => machine.cancel(AnswerId(u64::from(pick / 1024 % 9))),
            _ => drop(machine.truncate(AnswerId(u64::from(pick / 1024 % 9)), 1000)),
        },
        11 => machine.played(AnswerId(u64::from(pick / 256 % 9)), 3000, now),
        12 | 13 => {
            if let Some((run, false)) = last {
                let discarded = asked.discarded.contains(&run);
                let text = if discarded { "discarded" } else { "word " };
                machine.event(run, ask::Event::Text(text.into()));
                machine.event(run, ask::Event::Audio(vec![0.0; FRAME]));
            }
        }
        _ => end_last(machine, asked, pick, now),
    }
}

/// The scheduler ends what it was asked last.
fn end_last(machine: &mut Machine, asked: &mut Asked, pick: u32, now: Instant) {
    let Some((run, _)) = asked.runs.last().copied().filter(|_| asked.under_way > 0) else {
        return;
    };
    asked.under_way = 0;
    let end = match pick / 256 % 4 {
        0 => failure(ErrorKind::Busy),
        1 => Ok(trace(Ended::NoSpeech)),
        _ => Ok(trace(Ended::Eoa)),
    };
    machine.ended(run, end, now);
}

/// Lets all that is under way end.
fn settle(play: &mut Play, asked: &mut Asked, invariants: &mut Invariants) {
    play.machine.clear();
    let now = play.now();
    loop {
        asked.obey(&mut play.machine);
        if asked.under_way == 0 {
            break;
        }
        end_last(&mut play.machine, asked, 3 * 256, now);
    }
    while let Some(event) = play.machine.next_event(now) {
        invariants.see(&event);
    }
}
