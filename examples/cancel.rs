//! An answer that is stopped, and what was heard of it: `cargo run --release --example cancel`.

use mini_omni::{
    Event, Limits, Omni, Options, Provider, Question, Request, Result, Runtime, Scheduler, Task,
};

fn main() -> Result<()> {
    let runtime = Runtime::load(Provider::Cpu, 0)?;
    let omni = Omni::load("onnx/mini-omni-small".as_ref(), &runtime)?;
    let scheduler = Scheduler::new(omni, Limits::default())?;
    let question = Question::Text("What is the capital of France?".into());
    let mut answer = scheduler.submit(Request::new(question, Options::for_task(Task::T1A2)))?;
    for event in &mut answer {
        if matches!(event, Event::Audio(_)) {
            break; // the person has heard enough
        }
    }
    answer.cancel();
    let trace = answer.finish()?;
    println!(
        "{:?}: {} samples of {} frames were handed over",
        trace.text, trace.pcm_samples, trace.frames
    );
    Ok(())
}
