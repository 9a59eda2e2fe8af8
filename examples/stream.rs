//! A spoken question, its answer as it comes: `cargo run --release --example stream QUESTION.wav`.

use std::io::Write;
use std::ops::ControlFlow;

use mini_omni::{Event, Omni, Options, Provider, Question, Result, Runtime, Task, audio};

fn main() -> Result<()> {
    let wav = std::env::args().nth(1);
    let wav = wav.unwrap_or("tests/fixtures/audio/capital.wav".into());
    let runtime = Runtime::load(Provider::Cpu, 0)?;
    let mut omni = Omni::load("onnx/mini-omni-small".as_ref(), &runtime)?;
    let question = Question::Audio(audio::read(wav.as_ref())?);
    let options = Options::for_task(Task::A1A2_BATCH);
    let mut samples = 0;
    let trace = omni.stream(&question, &options, |event| {
        match event {
            Event::Text(piece) => print!("{piece}"),
            Event::Audio(pcm) => samples += pcm.len(), // a player would take them here
            _ => {}
        }
        // Who cannot write what they hear needs no more of it.
        match std::io::stdout().flush() {
            Ok(()) => ControlFlow::Continue(()),
            Err(_) => ControlFlow::Break(()),
        }
    })?;
    let first = trace.timings_ms.first_audio.unwrap_or(f64::NAN);
    println!("\n{samples} samples, the first after {first:.0} ms");
    Ok(())
}
