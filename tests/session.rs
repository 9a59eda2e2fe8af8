//! A conversation with the bundled model: recorded sound in, a made-up clock, no sleeping.

mod common;

use std::ops::ControlFlow;
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use common::*;
use mini_omni::session::{AnswerEnd, AnswerId, Event, Reply, Session, Settings, TurnEnd};
use mini_omni::{
    ErrorKind, Limits, Omni, Options, Pcm, Provider, Question, Request, Runtime, Scheduler, Task,
    audio,
};

const QUESTION: &str = "What is the capital of France?";
const ANSWER: &str = "The capital of France is Paris.";
/// Samples of a frame of the codec.
const FRAME: u64 = 2048;
/// Longest that a test waits for an answer that does not come.
const PATIENCE: Duration = Duration::from_secs(60);

fn runtime() -> Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    let load =
        || Runtime::load(Provider::Cpu, 1).expect("ONNX Runtime; `make onnxruntime` gets it");
    RUNTIME.get_or_init(load).clone()
}

fn scheduler(answers: usize) -> Arc<Scheduler> {
    let omni = Omni::load(&bundled(), &runtime()).expect("the bundled model");
    let mut limits = Limits::default();
    limits.answers = answers;
    Arc::new(Scheduler::new(omni, limits).expect("threads"))
}

fn recorded() -> Pcm {
    audio::read(&bundled_question()).expect("a question")
}

/// A conversation, its clock, and all that it has told.
struct Talk {
    session: Session,
    scheduler: Arc<Scheduler>,
    rate: u32,
    woken: Receiver<()>,
    now: Instant,
    told: Vec<Event>,
}

impl Talk {
    fn new(scheduler: &Arc<Scheduler>, change: impl FnOnce(&mut Settings)) -> Talk {
        let mut settings = Settings::default();
        settings.input_rate = recorded().sample_rate();
        change(&mut settings);
        let (wake, woken) = channel();
        let rate = settings.input_rate;
        let session = Session::new(scheduler.clone(), &runtime(), settings, move || {
            let _ = wake.send(());
        });
        Talk {
            session: session.expect("a conversation"),
            scheduler: scheduler.clone(),
            rate,
            woken,
            now: Instant::now(),
            told: Vec::new(),
        }
    }

    /// Pushes sound in pieces of so many samples.
    fn hear(&mut self, sound: &[f32], piece: usize) {
        for piece in sound.chunks(piece) {
            self.now += Duration::from_secs_f64(piece.len() as f64 / f64::from(self.rate));
            self.session.hear(piece, self.now).expect("it listens");
            self.poll();
        }
    }

    fn silence(&mut self, ms: u32) {
        self.hear(&vec![0.0; (self.rate * ms / 1000) as usize], 480);
    }

    fn poll(&mut self) {
        while let Some(event) = self.session.poll(self.now) {
            self.told.push(event);
        }
    }

    /// Waits until `done`; time stands still.
    fn until(&mut self, done: impl Fn(&[Event]) -> bool) {
        self.poll();
        while !done(&self.told) {
            self.woken
                .recv_timeout(PATIENCE)
                .expect("an answer in time");
            self.poll();
        }
    }

    fn until_ended(&mut self, answers: usize) {
        self.until(|told| ends(told).len() == answers);
    }

    /// Waits until nobody is being answered, those unheard included.
    fn until_quiet(&mut self) {
        let start = Instant::now();
        while self.scheduler.answers() > 0 {
            assert!(start.elapsed() < PATIENCE, "places come free");
            std::thread::yield_now();
        }
        self.poll();
    }
}

fn ends(told: &[Event]) -> Vec<(AnswerId, &AnswerEnd)> {
    let end = |event| match event {
        &Event::AnswerEnded { answer, ref end } => Some((answer, end)),
        _ => None,
    };
    told.iter().filter_map(end).collect()
}

fn questions(told: &[Event]) -> Vec<&Pcm> {
    let questions = told.iter().filter_map(|event| match event {
        Event::SpeechStopped { question, .. } => Some(question),
        _ => None,
    });
    questions.collect()
}

fn sound(told: &[Event], of: AnswerId) -> Vec<f32> {
    let samples = |event: &Event| match event {
        Event::Audio { answer, samples } if *answer == of => samples.clone(),
        _ => Vec::new(),
    };
    told.iter().flat_map(samples).collect()
}

fn words(told: &[Event], of: AnswerId) -> String {
    let text = |event: &Event| match event {
        Event::Text { answer, text } if *answer == of => text.clone(),
        _ => String::new(),
    };
    told.iter().map(text).collect()
}

/// What the scheduler answers to the same samples.
fn asked(scheduler: &Scheduler, question: &Pcm) -> Vec<Vec<i64>> {
    let question = Question::Audio(question.clone());
    let request = Request::new(question, Options::for_task(Task::A1A2));
    let answer = scheduler.submit(request).expect("a place");
    answer.finish().expect("an answer").tokens
}

#[test]
fn a_turn_is_answered_whatever_sizes_its_sound_comes_in() {
    let scheduler = scheduler(2);
    let recorded = recorded();
    for (ms, speculate) in [(1, Some(160.0)), (37, Some(160.0)), (1000, None)] {
        let mut talk = Talk::new(&scheduler, |settings| settings.speculate = speculate);
        talk.hear(recorded.samples(), (talk.rate * ms / 1000) as usize);
        talk.silence(800);
        talk.until_ended(1);
        let [(answer, AnswerEnd::Done(trace))] = ends(&talk.told)[..] else {
            panic!("{:?}", talk.told);
        };
        assert_eq!(
            (&*trace.text, &*words(&talk.told, answer)),
            (ANSWER, ANSWER)
        );
        assert_eq!(trace.pcm_samples, sound(&talk.told, answer).len());
        let [question] = questions(&talk.told)[..] else {
            panic!("one turn");
        };
        assert_eq!(trace.tokens, asked(&scheduler, question), "{ms} ms");
        let latency = talk.told.iter().find_map(|event| match event {
            Event::Latency(latency) => Some(*latency),
            _ => None,
        });
        let latency = latency.expect("it sounded");
        assert_eq!(latency.speculative, speculate.is_some());
        assert!(latency.speech_end >= latency.turn_end);
        talk.until_quiet();
        assert_eq!(scheduler.answers(), 0);
    }
}

#[test]
fn a_question_can_be_asked_by_hand() {
    let scheduler = scheduler(2);
    let mut talk = Talk::new(&scheduler, |settings| settings.turn_end = TurnEnd::ByHand);
    assert!(talk.session.commit(talk.now).is_none(), "nothing was heard");
    talk.hear(recorded().samples(), 480);
    let (_, question) = talk.session.commit(talk.now).expect("a question");
    assert!(talk.session.commit(talk.now).is_none(), "it was taken");
    let reply = Reply::default();
    let asked = talk
        .session
        .ask(Question::Audio(question), &reply, talk.now);
    talk.until_ended(1);
    assert_eq!(words(&talk.told, asked), ANSWER);
    let by_text = talk
        .session
        .ask(Question::Text(QUESTION.into()), &reply, talk.now);
    talk.until_ended(2);
    assert_eq!(words(&talk.told, by_text), ANSWER);
    assert!(asked < by_text && !sound(&talk.told, by_text).is_empty());
}

#[test]
fn an_answer_that_was_prepared_for_a_turn_that_goes_on_leaves_no_trace() {
    let scheduler = scheduler(1);
    let mut talk = Talk::new(&scheduler, |settings| {
        settings.turn_end = TurnEnd::Pause(700.0)
    });
    let recorded = recorded();
    talk.hear(recorded.samples(), 480);
    talk.silence(400);
    assert_eq!(talk.session.speculation().begun, 1);
    talk.hear(recorded.samples(), 480);
    talk.until_quiet();
    assert_eq!(talk.session.speculation().discarded, 1);
    assert_eq!(scheduler.answers(), 0);
    assert!(
        talk.told
            .iter()
            .all(|event| matches!(event, Event::SpeechStarted { .. }))
    );
    talk.silence(1000);
    talk.until_ended(1);
    let [question] = questions(&talk.told)[..] else {
        panic!("one turn");
    };
    assert!(
        question.seconds() > 2.0 * recorded.seconds() - 1.0,
        "both halves of it"
    );
    let [(answer, AnswerEnd::Done(trace))] = ends(&talk.told)[..] else {
        panic!("one answer");
    };
    assert_eq!(answer, AnswerId(1), "no other has a name");
    assert_eq!(trace.tokens, asked(&scheduler, question));
}

#[test]
fn a_turn_that_was_cut_short_is_asked_and_remembered_whole() {
    let scheduler = scheduler(2);
    let mut talk = Talk::new(&scheduler, |settings| {
        settings.turns = 2;
        settings.turn_end = TurnEnd::Pause(200.0);
    });
    let recorded = recorded();
    talk.hear(recorded.samples(), 480);
    talk.silence(300);
    talk.until_ended(1);
    talk.hear(&recorded.samples()[3200..], 480); // 0.4 s lie between the voices
    talk.silence(400);
    talk.until_ended(2);
    let interrupted = |event: &Event| matches!(event, Event::Interrupted { .. });
    assert!(talk.told.iter().any(interrupted), "the answer between them");
    let lengths: Vec<_> = questions(&talk.told).iter().map(|q| q.seconds()).collect();
    assert!(
        lengths.len() == 2 && lengths[1] < 2.5,
        "each turn has its own sound: {lengths:?}"
    );
    let [(_, AnswerEnd::Done(first)), (_, AnswerEnd::Done(both))] = ends(&talk.told)[..] else {
        panic!("two answers");
    };
    let columns = first.prompt_length;
    assert!(both.prompt_length > columns * 3 / 2, "both were asked");
    let remembered = talk.session.remembered();
    assert!(
        (both.prompt_length..both.prompt_length + columns).contains(&remembered),
        "{remembered}: the first is no part of it"
    );
}

#[test]
fn a_conversation_remembers_the_turns_it_is_to_remember() {
    let scheduler = scheduler(2);
    let mut talk = Talk::new(&scheduler, |settings| settings.turns = 2);
    let mut memory = None;
    for turn in 1..=3 {
        talk.hear(recorded().samples(), 480);
        talk.silence(800);
        talk.until_ended(turn);
        talk.silence(8000); // it is heard out
        let question = questions(&talk.told)[turn - 1].clone();
        let options = Options::for_task(Task::A1A2);
        let mut request = Request::new(Question::Audio(question), options);
        request.memory = memory;
        request.keep_memory = true;
        let answer = scheduler.submit(request).expect("a place");
        let (trace, kept) = answer.finish_with_memory().expect("an answer");
        let (_, AnswerEnd::Done(told)) = ends(&talk.told)[turn - 1] else {
            panic!("an answer");
        };
        assert_eq!(told.tokens, trace.tokens, "turn {turn}");
        let mut kept = kept.expect("it was to be kept");
        assert_eq!(talk.session.remembered(), kept.position(), "turn {turn}");
        assert_eq!(kept.turns(), turn.min(2));
        kept.keep_turns(1);
        memory = Some(kept);
    }
}

#[test]
fn speech_into_an_answer_ends_it_where_it_was_heard() {
    let scheduler = scheduler(2);
    let mut talk = Talk::new(&scheduler, |settings| settings.turns = 2);
    let answer = talk
        .session
        .ask(Question::Text(QUESTION.into()), &Reply::default(), talk.now);
    talk.until_ended(1);
    let sounded = sound(&talk.told, answer).len() as u64;
    let whole = talk.session.remembered();
    let told = talk.told.len();
    talk.hear(recorded().samples(), 480);
    let cut = talk.told[told..].iter().find_map(|event| match event {
        Event::Interrupted {
            answer,
            samples,
            text,
        } => Some((*answer, *samples, text.clone())),
        _ => None,
    });
    let (cut, samples, text) = cut.expect("somebody spoke into it");
    assert!(matches!(talk.told[told], Event::Hold));
    assert_eq!(cut, answer);
    assert!(samples > 0 && samples < sounded && ANSWER.starts_with(&text) && text != ANSWER);
    let (_, AnswerEnd::Done(trace)) = ends(&talk.told)[0] else {
        panic!("it was written to its end");
    };
    let frames = samples.div_ceil(FRAME) as usize;
    assert_eq!(talk.session.remembered(), trace.prompt_length + frames + 7);
    assert!(talk.session.remembered() < whole);
    assert!(sound(&talk.told[told..], answer).is_empty());
    talk.silence(800);
    talk.until_ended(2);
}

#[test]
fn a_full_scheduler_is_told_and_the_conversation_goes_on() {
    let scheduler = scheduler(1);
    let mut talk = Talk::new(&scheduler, |_| ());
    // An answer that does not end before the test lets it.
    let (go_on, gate) = channel::<()>();
    let question = Question::Text(QUESTION.into());
    let request = Request::new(question, Options::for_task(Task::T1A2)).sink(move |_| {
        let _ = gate.recv();
        ControlFlow::Break(())
    });
    let other = scheduler.submit(request).expect("a place");
    talk.hear(recorded().samples(), 480);
    talk.silence(800);
    talk.until_ended(1);
    let (_, AnswerEnd::Failed(error)) = ends(&talk.told)[0] else {
        panic!("there was no place for it");
    };
    assert_eq!(error.kind(), ErrorKind::Busy);
    assert_eq!(talk.session.speculation().failed, 1);
    drop(go_on);
    assert!(other.finish().is_ok());
    talk.hear(recorded().samples(), 480);
    talk.silence(800);
    talk.until_ended(2);
    assert_eq!(words(&talk.told, AnswerId(2)), ANSWER);
}

#[test]
fn a_turn_longer_than_the_model_hears_is_ended_and_answered() {
    let scheduler = scheduler(2);
    let mut talk = Talk::new(&scheduler, |settings| {
        settings.turn_end = TurnEnd::Pause(5000.0);
        settings.speculate = None;
        settings.interrupt = false;
    });
    let recorded = recorded();
    let mut heard = 0.0;
    while heard < 32.0 {
        talk.hear(recorded.samples(), 480);
        heard += recorded.seconds();
    }
    talk.until_ended(1);
    let question = questions(&talk.told)[0];
    assert_eq!(question.seconds(), 30.0);
    assert!(matches!(ends(&talk.told)[0].1, AnswerEnd::Done(_)));
}
