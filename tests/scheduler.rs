//! Many conversations at once say what each says alone, in both profiles.

mod common;

use std::path::PathBuf;

use common::*;
use mini_omni::{
    Answer, EncoderWindow, ErrorKind, Event, Limits, Noise, Omni, Options, Pcm, Provider, Question,
    Request, Result, Runtime, SamplingConfig, Scheduler, Source, Task, Trace, audio, measure,
};

/// PCM of an answer alone against the same beside others.
const PCM_TOLERANCE: f32 = 1e-5;

fn runtime() -> Runtime {
    Runtime::load(Provider::Cpu, 1).expect("ONNX Runtime; `make onnxruntime` gets it")
}

/// A model by its profile; *apart* with the host's memory treated as a GPU's.
fn omni(profile: &str) -> Omni {
    let (profile, runtime) = match profile.strip_suffix(", apart") {
        Some(profile) => (profile, measure::apart(&runtime())),
        None => (profile, runtime()),
    };
    let folder: PathBuf = match profile {
        "random" => model(),
        "bundled" => bundled(),
        profile => root().join("tests/fixtures/tiny").join(profile),
    };
    Omni::load(&folder, &runtime).expect("a model")
}

fn limits(answers: usize, prefill_columns: usize) -> Limits {
    let mut limits = Limits::default();
    limits.answers = answers;
    limits.prefill_columns = prefill_columns;
    limits.front_end_threads = 2;
    limits.codec_threads = 2;
    limits
}

fn question(source: Source, variant: usize) -> Question {
    match source {
        Source::Text => Question::Text("What is your name? ".repeat(1 + variant)),
        Source::Audio => {
            let wav = root().join("tests/fixtures/audio/output1.wav");
            let pcm = audio::read(&wav).expect("a question");
            let samples = &pcm.samples()[..pcm.samples().len() / (1 + variant)];
            let cut = Pcm::new(samples.to_vec(), pcm.sample_rate());
            Question::Audio(cut.expect("a shorter one"))
        }
    }
}

fn options(task: Task, seed: u64, steps: usize) -> Options {
    let sampling = SamplingConfig {
        temperature: if seed == 0 { 0.0 } else { 0.9 },
        top_k: 40,
        top_p: 0.95,
        seed,
    };
    let mut options = Options::for_task(task);
    options.max_steps = Some(steps);
    options.sampling = sampling;
    options.noise = Noise::Seeded(seed);
    options.window = Some(EncoderWindow::Short);
    options
}

/// All six tasks, greedy and sampled, prompts and answers of several lengths.
fn mixed() -> Vec<(Question, Options)> {
    let of = |(i, task): (usize, Task)| {
        [0, 1].map(|round| {
            let seed = (round * (i + 7)) as u64;
            let steps = 10 + 9 * ((i + 3 * round) % 5);
            (
                question(task.source(), (i + round) % 3),
                options(task, seed, steps),
            )
        })
    };
    Task::ALL.into_iter().enumerate().flat_map(of).collect()
}

fn submit(scheduler: &Scheduler, question: Question, options: Options) -> Result<Answer> {
    scheduler.submit(Request::new(question, options))
}

fn kind(refused: Result<Answer>) -> ErrorKind {
    refused.err().expect("a refusal").kind()
}

fn hear_out(mut answer: Answer) -> (Trace, Vec<f32>) {
    let mut pcm = Vec::new();
    for event in &mut answer {
        if let Event::Audio(chunk) = event {
            pcm.extend(chunk);
        }
    }
    (answer.finish().expect("an answer"), pcm)
}

fn assert_same(name: &str, alone: &(Trace, Vec<f32>), together: &(Trace, Vec<f32>)) {
    assert_eq!(alone.0.tokens, together.0.tokens, "{name}");
    assert_eq!(alone.0.text, together.0.text, "{name}");
    assert_eq!(alone.0.ended, together.0.ended, "{name}");
    assert_eq!(alone.0.frames, together.0.frames, "{name}");
    assert_eq!(alone.1.len(), together.1.len(), "{name}");
    let pairs = alone.1.iter().zip(&together.1);
    let error = pairs.map(|(a, b)| (a - b).abs()).fold(0.0, f32::max);
    assert!(error <= PCM_TOLERANCE, "{name}: {error}");
}

fn nobody_hears_the_others(profile: &str) {
    let questions = mixed();
    let mut one = omni(profile);
    let alone: Vec<_> = questions
        .iter()
        .map(|(question, options)| one.run(question, options).expect("an answer"))
        .collect();
    // Pieces of every size, and more or fewer at once, make the rows meet at other steps.
    for (at_once, columns) in [(12, 1), (5, 7), (1, 64)] {
        let scheduler = Scheduler::new(omni(profile), limits(at_once, columns)).expect("threads");
        let mut together = Vec::new();
        for group in questions.chunks(at_once) {
            let asked: Vec<_> = group
                .iter()
                .map(|(question, options)| {
                    submit(&scheduler, question.clone(), options.clone()).expect("a permit")
                })
                .collect();
            together.extend(asked.into_iter().map(hear_out));
        }
        for (i, (alone, together)) in alone.iter().zip(&together).enumerate() {
            let name = format!("{profile} {} #{i}, {at_once} at once", alone.0.task);
            assert_same(&name, alone, together);
        }
    }
}

#[test]
fn an_answer_does_not_depend_on_the_others_fused() {
    nobody_hears_the_others("fused");
    nobody_hears_the_others("random");
}

#[test]
fn an_answer_does_not_depend_on_the_others_portable() {
    nobody_hears_the_others("portable");
}

#[test]
fn an_answer_does_not_depend_on_the_others_on_a_device() {
    nobody_hears_the_others("fused, apart");
    nobody_hears_the_others("portable, apart");
}

#[test]
fn rows_join_and_leave_while_others_go_on() {
    for profile in ["fused", "portable", "fused, apart", "portable, apart"] {
        let long = options(Task::A1A2, 3, 250);
        let short = options(Task::A1A2_BATCH, 4, 12);
        let ask = question(Source::Audio, 0);
        let mut one = omni(profile);
        let (long, short) = (measure::forced(&long, 40), measure::forced(&short, 5));
        let alone = [&long, &short].map(|options| one.run(&ask, options).expect("an answer"));
        let scheduler = Scheduler::new(omni(profile), limits(4, 16)).expect("threads");
        let first = submit(&scheduler, ask.clone(), long.clone()).expect("a permit");
        for _ in 0..4 {
            let visitor = submit(&scheduler, ask.clone(), short.clone()).expect("a permit");
            assert_same(profile, &alone[1], &hear_out(visitor));
        }
        assert_same(profile, &alone[0], &hear_out(first));
        assert_eq!(scheduler.answers(), 0);
    }
}

#[test]
fn a_long_prompt_holds_nobody_up() {
    let scheduler = Scheduler::new(omni("random"), limits(3, 4)).expect("threads");
    let submit = |question, options| submit(&scheduler, question, options).expect("a permit");
    let endless = measure::forced(&options(Task::T1A2, 0, 2000), 9);
    let mut running = submit(question(Source::Text, 0), endless);
    assert!(running.next().is_some(), "it is under way");
    let long = Question::Text("word ".repeat(280));
    let mut long = submit(long, options(Task::T1T2, 0, 5));
    let short = submit(question(Source::Text, 0), options(Task::T1T2, 0, 5));
    hear_out(short);
    assert!(long.try_next().is_none(), "its prompt is still being read");
    assert!(!hear_out(long).0.text.is_empty());
}

#[test]
fn one_too_many_is_told_so_and_a_dropped_conversation_makes_room() {
    let scheduler = Scheduler::new(omni("random"), limits(2, 16)).expect("threads");
    let endless = measure::forced(&options(Task::T1A2, 0, 2000), 9);
    let ask = || submit(&scheduler, question(Source::Text, 0), endless.clone());
    let (mut first, second) = (ask().expect("a permit"), ask().expect("a permit"));
    assert_eq!(kind(ask()), ErrorKind::Busy);
    assert!(first.next().is_some(), "it is under way");
    drop((first, second));
    let start = std::time::Instant::now();
    while scheduler.answers() > 0 {
        assert!(start.elapsed().as_secs() < 30, "the places come free");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let quick = options(Task::T1T2, 0, 5);
    let answer = submit(&scheduler, question(Source::Text, 0), quick);
    hear_out(answer.expect("a permit"));
}

#[test]
fn a_bad_question_is_its_own_misfortune() {
    let scheduler = Scheduler::new(omni("random"), limits(8, 16)).expect("threads");
    let ask = |question, options| submit(&scheduler, question, options);
    let good = ask(question(Source::Audio, 0), options(Task::A1A2, 1, 30)).expect("a permit");
    let text = |text: &str| Question::Text(text.into());
    let bad = [
        (text(" "), Task::T1A2, ErrorKind::NoWords),
        (text(&"word ".repeat(9000)), Task::T1T2, ErrorKind::TooLong),
        (text("Why?"), Task::A1A2, ErrorKind::NeedsAudio),
        (question(Source::Audio, 0), Task::T1A2, ErrorKind::NeedsText),
    ];
    for (question, task, refusal) in bad {
        assert_eq!(kind(ask(question, options(task, 0, 5))), refusal);
    }
    let long = Pcm::new(vec![0.1; 31 * 16_000], 16_000).expect("sound");
    let long = ask(Question::Audio(long), options(Task::A1T1, 0, 5)).expect("a permit");
    let error = long.finish().expect_err("31 s");
    assert_eq!(error.kind(), ErrorKind::TooLong);
    let silent = ask(text("Why?"), options(Task::T1A2, 0, 0)).expect("a permit");
    assert_eq!(hear_out(silent).0.frames, 0);
    assert!(hear_out(good).0.frames > 0);
}

#[test]
fn a_text_only_answer_has_its_times() {
    let scheduler = Scheduler::new(omni("random"), limits(1, 16)).expect("threads");
    let quick = options(Task::T1T2, 0, 5);
    let answer = submit(&scheduler, question(Source::Text, 0), quick).expect("a permit");
    let times = hear_out(answer).0.timings_ms;
    assert!(times.total >= times.prefill && times.prefill > 0.0 && times.load > 0.0);
    assert!(times.first_audio.is_none() && !times.steps.is_empty());
}

#[test]
fn a_cancelled_answer_ends_with_what_was_handed_over() {
    let scheduler = Scheduler::new(omni("random"), limits(1, 16)).expect("threads");
    let endless = measure::forced(&options(Task::T1A2, 0, 2000), 9);
    let mut answer = submit(&scheduler, question(Source::Text, 0), endless).expect("a permit");
    let mut heard = 0;
    while heard == 0 {
        if let Some(Event::Audio(pcm)) = answer.next() {
            heard += pcm.len();
        }
    }
    answer.cancel();
    for event in &mut answer {
        if let Event::Audio(pcm) = event {
            heard += pcm.len(); // on its way when it was cancelled
        }
    }
    let trace = answer.finish().expect("a record");
    assert_eq!(trace.ended.name(), "cancelled");
    assert_eq!(trace.pcm_samples, heard);
    assert!(trace.frames > 0 && trace.frames * 2048 >= heard && trace.frames < 1900);
}

#[test]
fn a_held_answer_is_heard_when_it_is_released_and_never_when_discarded() {
    let scheduler = Scheduler::new(omni("random"), limits(2, 16)).expect("threads");
    let held = || {
        let mut request = Request::new(question(Source::Text, 0), options(Task::T1A2, 0, 20));
        request.held = true;
        scheduler.submit(request).expect("a permit")
    };
    let (mut released, discarded) = (held(), held());
    while scheduler.answers() > 0 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert!(released.try_next().is_none(), "it has ended, unheard");
    released.release();
    let (trace, pcm) = hear_out(released);
    assert_eq!(
        (trace.pcm_samples, pcm.len()),
        (pcm.len(), trace.frames * 2048)
    );
    assert!(!pcm.is_empty());
    discarded.cancel();
    let trace = discarded.finish().expect("a record");
    assert_eq!((trace.pcm_samples, trace.ended.name()), (0, "cancelled"));
}

#[test]
fn a_sink_takes_the_events_and_one_that_breaks_cancels() {
    use std::ops::ControlFlow;
    use std::sync::{Arc, Mutex};
    let scheduler = Scheduler::new(omni("random"), limits(2, 16)).expect("threads");
    let ask = |breaks: bool| {
        let heard = Arc::new(Mutex::new(0));
        let (count, options) = (heard.clone(), options(Task::T1A2, 0, 20));
        let request = Request::new(question(Source::Text, 0), options).sink(move |event| {
            if let Event::Audio(pcm) = event {
                *count.lock().expect("no panic") += pcm.len();
                if breaks {
                    return ControlFlow::Break(());
                }
            }
            ControlFlow::Continue(())
        });
        let answer = scheduler.submit(request).expect("a permit");
        let trace = answer.finish().expect("a record");
        let heard = *heard.lock().expect("no panic");
        (trace, heard)
    };
    let (whole, heard) = ask(false);
    assert_eq!((whole.pcm_samples, whole.frames * 2048), (heard, heard));
    let (cut, heard_of_cut) = ask(true);
    assert_eq!(cut.ended.name(), "cancelled");
    assert!(heard_of_cut > 0 && heard_of_cut < heard);
}

/// A conversation that goes on from its own row says what a prompt of everything would, as far as
/// the ids fed are the same; and forgetting brings it back.
#[test]
fn a_conversation_goes_on_from_where_it_was() {
    for profile in ["fused", "portable", "fused, apart", "portable, apart"] {
        let scheduler = Scheduler::new(omni(profile), limits(2, 16)).expect("threads");
        let ask = |text: &str, memory| {
            let question = Question::Text(text.into());
            let mut request = Request::new(question, options(Task::T1A2, 0, 12));
            request.memory = memory;
            request.keep_memory = true;
            let answer = scheduler.submit(request).expect("a permit");
            let (trace, memory) = answer.finish_with_memory().expect("an answer");
            (trace, memory.expect("it was to be kept"))
        };
        let (first, memory) = ask("What is your name?", None);
        let steps = first.tokens[7].len();
        assert_eq!(
            memory.position(),
            first.prompt_length - 1 + steps,
            "{profile}"
        );
        let (second, memory) = ask("Why?", Some(memory));
        let (alone, _) = ask("Why?", None);
        assert_ne!(second.tokens, alone.tokens, "{profile}: it remembers");
        // Back to where the first answer ended: the second question gets the same answer.
        let mut memory = memory;
        memory.truncate(first.prompt_length - 1 + steps);
        let (again, _) = ask("Why?", Some(memory));
        assert_eq!(again.tokens, second.tokens, "{profile}: it forgot the rest");
    }
}

/// A lone row may round otherwise than a pair, which shows where two ids are nearly even: not in the
/// words, and in one id of fifty at most.
#[test]
fn the_bundled_model_says_alone_what_it_says_among_others() {
    let rows: Vec<serde_json::Value> = rows("asked.jsonl");
    let asked = rows.iter().step_by(8).map(|row| {
        let question = row["question"].as_str().expect("its text").to_owned();
        (Question::Text(question), Options::for_task(Task::T1A2))
    });
    let asked: Vec<_> = asked.collect();
    let mut one = omni("bundled");
    let scheduler = Scheduler::new(omni("bundled"), limits(5, 64)).expect("threads");
    let (mut differ, mut of) = (0, 0);
    for group in asked.chunks(5) {
        let answers = group.iter().map(|(question, options)| {
            submit(&scheduler, question.clone(), options.clone()).expect("a permit")
        });
        let answers: Vec<_> = answers.collect();
        for (answer, (question, options)) in answers.into_iter().zip(group) {
            let (together, _) = hear_out(answer);
            let (alone, _) = one.run(question, options).expect("an answer");
            assert_eq!(alone.text, together.text, "{question:?}");
            let (alone, together) = (alone.tokens.concat(), together.tokens.concat());
            assert_eq!(alone.len(), together.len(), "{question:?}");
            differ += alone.iter().zip(&together).filter(|(a, b)| a != b).count();
            of += alone.len();
        }
    }
    println!("{differ} of {of} ids differ");
    assert!(50 * differ <= of, "{differ} of {of} ids differ");
}

/// A record that is read again goes on as the row that was kept, whatever the lengths of its parts.
#[test]
fn a_conversation_that_is_read_again_goes_on_the_same() {
    for profile in ["fused", "portable", "random", "bundled", "portable, apart"] {
        let scheduler = Scheduler::new(omni(profile), limits(2, 16)).expect("threads");
        let ask = |(source, variant), steps, memory| {
            let task = Task::default_for(source);
            let question = question(source, variant);
            let mut request = Request::new(question, options(task, 0, steps));
            request.memory = memory;
            request.keep_memory = true;
            let answer = scheduler.submit(request).expect("a permit");
            let (trace, memory) = answer.finish_with_memory().expect("an answer");
            (trace, memory.expect("it was to be kept"))
        };
        let next = (Source::Text, 1);
        let mut memory = None;
        // Odd and even numbers of columns, of questions and of answers.
        for (question, steps) in [(Source::Audio, 0), (Source::Text, 2), (Source::Audio, 1)]
            .into_iter()
            .zip([11, 12, 14])
        {
            let (_, kept) = ask(question, steps, memory);
            for cut in [0, 1, 2] {
                let mut kept = kept.clone();
                kept.truncate(kept.position() - cut);
                let mut again = kept.clone();
                again.shrink();
                let (kept, again) = (ask(next, 24, Some(kept)), ask(next, 24, Some(again)));
                let what = format!("{profile}, {steps} less {cut}");
                assert_eq!(kept.0.tokens, again.0.tokens, "{what}");
                assert_eq!(kept.1.position(), again.1.position());
            }
            memory = Some(kept);
        }
        // Without its oldest turn it goes on otherwise, from fewer positions.
        let all = memory.expect("three turns");
        let mut last = all.clone();
        last.keep_turns(1);
        assert_eq!((all.turns(), last.turns()), (3, 1), "{profile}");
        let (_, after) = ask(next, 5, Some(last.clone()));
        assert_eq!(after.turns(), 2);
        assert!(after.position() > last.position() && after.position() < all.position());
    }
}

#[test]
fn an_end_can_be_told_on_the_threads_that_write() {
    let scheduler = Scheduler::new(omni("random"), limits(2, 16)).expect("threads");
    let ask = |held| {
        let (send, ends) = std::sync::mpsc::channel();
        let mut request = Request::new(question(Source::Text, 0), options(Task::T1A2, 0, 12))
            .at_end(move |end| send.send(end).expect("the test waits"));
        request.keep_memory = true;
        request.held = held;
        (scheduler.submit(request).expect("a permit"), ends)
    };
    let (answer, ends) = ask(false);
    let (trace, memory) = ends.recv().expect("an end").expect("a record");
    assert_eq!(
        memory.expect("it was to be kept").position(),
        trace.prompt_length - 1 + trace.tokens[7].len()
    );
    let elsewhere = answer.finish().expect_err("it was told already");
    assert_eq!(elsewhere.kind(), ErrorKind::Stopped);
    let (held, ends) = ask(true);
    while scheduler.answers() > 0 {
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    assert!(ends.try_recv().is_err(), "it is held");
    drop(held);
    let (trace, _) = ends.recv().expect("an end").expect("a record");
    assert_eq!((trace.ended.name(), trace.pcm_samples), ("cancelled", 0));
}

#[test]
fn the_bench_finds_how_many_are_sustained() {
    let folder = tempfile::tempdir().expect("a folder");
    let json = folder.path().join("now.json");
    let (model, json) = (model(), text(&json));
    let bench = ["bench", text(&model), "--rounds", "1", "--steps", "12"];
    let many = [
        "--conversations",
        "2",
        "--seconds",
        "0.5",
        "--player-buffer",
        "5000",
    ];
    let output = mini_omni(&[&bench[..], &many, &["--json", json]].concat());
    assert!(output.status.success(), "{}", stderr(&output));
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(
        said.contains("2 of 2 conversations at once are sustained"),
        "{said}"
    );
    let report = std::fs::read(json).expect("results");
    let report: serde_json::Value = serde_json::from_slice(&report).expect("JSON");
    assert_eq!(report["conversations"]["sustained"], 2);
    let stages = report["stages_ms"].to_string();
    for stage in ["step at 100", "step at 2000", "answer, half text"] {
        assert!(stages.contains(stage), "{stages}");
    }
    let silent = ["--task", "a1t1", "--conversations", "2"];
    let refused = mini_omni(&[&bench[..], &silent].concat());
    assert_refused(&refused, "does not speak");
}
