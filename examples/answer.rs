//! One question, its whole answer: `cargo run --release --example answer`.

use mini_omni::{Omni, Options, Provider, Question, Result, Runtime, Task};

fn main() -> Result<()> {
    let runtime = Runtime::load(Provider::Cpu, 0)?;
    let mut omni = Omni::load("onnx/mini-omni-small".as_ref(), &runtime)?;
    let question = Question::Text("What is the capital of France?".into());
    let (trace, pcm) = omni.run(&question, &Options::for_task(Task::T1A2))?;
    let rate = omni.manifest().codec.sample_rate;
    println!(
        "{} ({:.1} s of speech)",
        trace.text,
        pcm.len() as f64 / f64::from(rate)
    );
    Ok(())
}
