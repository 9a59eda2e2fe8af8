//! Many questions at once, one batch: `cargo run --release --example conversations`.

use mini_omni::{
    ErrorKind, Limits, Omni, Options, Provider, Question, Request, Result, Runtime, Scheduler, Task,
};

const QUESTIONS: [&str; 4] = [
    "What is the capital of Italy?",
    "How many legs does a spider have?",
    "What is seven plus five?",
    "What is the opposite of hot?",
];

fn main() -> Result<()> {
    let runtime = Runtime::load(Provider::Cpu, 0)?;
    let omni = Omni::load("onnx/mini-omni-small".as_ref(), &runtime)?;
    let mut limits = Limits::default();
    limits.answers = 3;
    let scheduler = Scheduler::new(omni, limits)?;
    let mut answers = Vec::new();
    for text in QUESTIONS {
        let question = Question::Text(text.into());
        match scheduler.submit(Request::new(question, Options::for_task(Task::T1A2))) {
            Ok(answer) => answers.push((text, answer)),
            Err(error) if error.kind() == ErrorKind::Busy => println!("{text} {error}"),
            Err(error) => return Err(error),
        }
    }
    for (text, answer) in answers {
        println!("{text} {}", answer.finish()?.text);
    }
    Ok(())
}
