//! Many conversations at once say what each says alone, in both profiles.

mod common;

use std::path::PathBuf;
use std::sync::OnceLock;

use common::*;
use mini_omni::omni::EncoderWindow;
use mini_omni::task::{self, Source, TASKS, Task};
use mini_omni::{
    Busy, Conversation, Event, Limits, Noise, Omni, Options, Provider, Question, Runtime,
    SamplingConfig, Scheduler, Trace, audio,
};

/// PCM of an answer alone against the same beside others.
const PCM_TOLERANCE: f32 = 1e-5;

fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| {
        Runtime::load(Provider::Cpu, 1).expect("ONNX Runtime; `make onnxruntime` gets it")
    })
}

fn omni(profile: &str) -> Omni {
    let folder: PathBuf = match profile {
        "random" => model(),
        profile => root().join("tests/fixtures/tiny").join(profile),
    };
    Omni::load(&folder, runtime()).expect("a model")
}

fn limits(conversations: usize, prefill_columns: usize) -> Limits {
    Limits {
        conversations,
        prefill_columns,
        codec_threads: 2,
    }
}

fn question(source: Source, variant: usize) -> Question {
    match source {
        Source::Text => Question::Text("What is your name? ".repeat(1 + variant)),
        Source::Audio => {
            let wav = root().join("tests/fixtures/audio/output1.wav");
            let pcm = audio::read(&wav).expect("a question");
            let seconds = pcm.seconds() / (1 + variant) as f64;
            Question::Audio(pcm.first(seconds))
        }
    }
}

fn options(task: &'static Task, seed: u64, steps: usize) -> Options {
    let sampling = SamplingConfig {
        temperature: if seed == 0 { 0.0 } else { 0.9 },
        top_k: 40,
        top_p: 0.95,
        seed,
    };
    Options {
        max_steps: Some(steps),
        sampling,
        noise: Noise::Seeded(seed),
        window: EncoderWindow::Short,
        ..Options::for_task(task)
    }
}

/// All six tasks, greedy and sampled, prompts and answers of several lengths.
fn mixed() -> Vec<(Question, Options)> {
    let of = |(i, task): (usize, &'static Task)| {
        [0, 1].map(|round| {
            let seed = (round * (i + 7)) as u64;
            let steps = 10 + 9 * ((i + 3 * round) % 5);
            (
                question(task.source, (i + round) % 3),
                options(task, seed, steps),
            )
        })
    };
    TASKS.into_iter().enumerate().flat_map(of).collect()
}

fn hear_out(mut conversation: Conversation) -> (Trace, Vec<f32>) {
    let mut pcm = Vec::new();
    for event in &mut conversation {
        if let Event::Audio(chunk) = event {
            pcm.extend(chunk);
        }
    }
    (conversation.finish().expect("an answer"), pcm)
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
                    scheduler
                        .submit(question.clone(), options.clone())
                        .expect("a place")
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
fn rows_join_and_leave_while_others_go_on() {
    for profile in ["fused", "portable"] {
        let long = options(&task::A1A2, 3, 250);
        let short = options(&task::A1A2_BATCH, 4, 12);
        let ask = question(Source::Audio, 0);
        let mut one = omni(profile);
        let forced = |options: &Options, text_steps| Options {
            forced: Some(mini_omni::turn::Forced { text_steps }),
            ..options.clone()
        };
        let (long, short) = (forced(&long, 40), forced(&short, 5));
        let alone = [&long, &short].map(|options| one.run(&ask, options).expect("an answer"));
        let scheduler = Scheduler::new(omni(profile), limits(4, 16)).expect("threads");
        let first = scheduler
            .submit(ask.clone(), long.clone())
            .expect("a place");
        for _ in 0..4 {
            let visitor = scheduler
                .submit(ask.clone(), short.clone())
                .expect("a place");
            assert_same(profile, &alone[1], &hear_out(visitor));
        }
        assert_same(profile, &alone[0], &hear_out(first));
        assert_eq!(scheduler.conversations(), 0);
    }
}

#[test]
fn a_long_prompt_holds_nobody_up() {
    let scheduler = Scheduler::new(omni("random"), limits(3, 4)).expect("threads");
    let submit = |question, options| scheduler.submit(question, options).expect("a place");
    let endless = Options {
        forced: Some(mini_omni::turn::Forced { text_steps: 9 }),
        ..options(&task::T1A2, 0, 2000)
    };
    let mut running = submit(question(Source::Text, 0), endless);
    assert!(running.next().is_some(), "it is under way");
    let long = Question::Text("word ".repeat(280));
    let mut long = submit(long, options(&task::T1T2, 0, 5));
    let short = submit(question(Source::Text, 0), options(&task::T1T2, 0, 5));
    hear_out(short);
    assert!(long.try_next().is_none(), "its prompt is still being read");
    assert!(!hear_out(long).0.text.is_empty());
}

#[test]
fn one_too_many_is_told_so_and_a_dropped_conversation_makes_room() {
    let scheduler = Scheduler::new(omni("random"), limits(2, 16)).expect("threads");
    let endless = Options {
        forced: Some(mini_omni::turn::Forced { text_steps: 9 }),
        ..options(&task::T1A2, 0, 2000)
    };
    let ask = || scheduler.submit(question(Source::Text, 0), endless.clone());
    let (mut first, second) = (ask().expect("a place"), ask().expect("a place"));
    assert!(matches!(ask(), Err(Busy { conversations: 2 })));
    assert!(first.next().is_some(), "it is under way");
    drop((first, second));
    let start = std::time::Instant::now();
    while scheduler.conversations() > 0 {
        assert!(start.elapsed().as_secs() < 30, "the places come free");
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
    let quick = options(&task::T1T2, 0, 5);
    let answer = scheduler.submit(question(Source::Text, 0), quick);
    hear_out(answer.expect("a place"));
}

#[test]
fn a_bad_question_is_its_own_misfortune() {
    let scheduler = Scheduler::new(omni("random"), limits(8, 16)).expect("threads");
    let submit = |question, options| scheduler.submit(question, options).expect("a place");
    let good = submit(question(Source::Audio, 0), options(&task::A1A2, 1, 30));
    let bad = [
        submit(Question::Text(" ".into()), options(&task::T1A2, 0, 5)),
        submit(
            Question::Text("word ".repeat(9000)),
            options(&task::T1T2, 0, 5),
        ),
        submit(question(Source::Text, 0), options(&task::A1A2, 0, 5)),
    ];
    let silent = submit(question(Source::Text, 0), options(&task::T1A2, 0, 0));
    for conversation in bad {
        assert!(conversation.finish().is_err());
    }
    assert_eq!(hear_out(silent).0.frames, 0);
    assert!(hear_out(good).0.frames > 0);
}

#[test]
fn the_bench_finds_how_many_are_on_time() {
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
        said.contains("2 of 2 conversations at once are on time"),
        "{said}"
    );
    let report = std::fs::read(json).expect("results");
    let report: serde_json::Value = serde_json::from_slice(&report).expect("JSON");
    assert_eq!(report["conversations"]["on_time"], 2);
    let stages = report["stages_ms"].to_string();
    for stage in ["step at 100", "step at 2000", "answer, half text"] {
        assert!(stages.contains(stage), "{stages}");
    }
    let silent = ["--task", "a1t1", "--conversations", "2"];
    let refused = mini_omni(&[&bench[..], &silent].concat());
    assert_refused(&refused, "does not speak");
}
