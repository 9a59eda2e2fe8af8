//! A recording held as a conversation: `cargo run --release --example conversation RECORDING.wav`.

use std::sync::Arc;
use std::sync::mpsc::channel;
use std::time::{Duration, Instant};

use mini_omni::session::{AnswerEnd, Event, Session, Settings};
use mini_omni::{Limits, Omni, Provider, Result, Runtime, Scheduler, audio};

/// How long the recording's last turn is waited for.
const SILENCE: Duration = Duration::from_secs(1);

fn main() -> Result<()> {
    let wav = std::env::args().nth(1);
    let wav = wav.unwrap_or("tests/fixtures/audio/capital.wav".into());
    let recording = audio::read(wav.as_ref())?;
    let rate = recording.sample_rate();
    let runtime = Runtime::load(Provider::Cpu, 0)?;
    let omni = Omni::load("onnx/mini-omni-small".as_ref(), &runtime)?;
    let scheduler = Arc::new(Scheduler::new(omni, Limits::default())?);
    let (wake, woken) = channel();
    let mut settings = Settings::default();
    settings.input_rate = rate;
    let mut session = Session::new(scheduler.clone(), &runtime, settings, move || {
        let _ = wake.send(()); // a program that is leaving needs no more
    })?;
    // A microphone gives 20 ms at a time, in real time.
    let mut sound = recording.samples().to_vec();
    sound.resize(
        sound.len() + rate as usize * SILENCE.as_secs() as usize,
        0.0,
    );
    for piece in sound.chunks(rate as usize / 50) {
        std::thread::sleep(Duration::from_millis(20));
        session.hear(piece, Instant::now())?;
        tell(&mut session);
    }
    while scheduler.answers() > 0 {
        let _ = woken.recv_timeout(SILENCE);
        tell(&mut session);
    }
    tell(&mut session);
    println!("{:?}", session.speculation());
    Ok(())
}

fn tell(session: &mut Session) {
    while let Some(event) = session.poll(Instant::now()) {
        match event {
            Event::SpeechStarted { at, .. } => println!("speech from {at:.0} ms"),
            Event::SpeechStopped { at, .. } => println!("to {at:.0} ms"),
            Event::Audio { samples, .. } => println!("{} samples", samples.len()), // to a player
            Event::Latency(latency) => println!("{latency:?}"),
            Event::AnswerEnded { end, .. } => match end {
                AnswerEnd::Done(trace) => println!("{}", trace.text),
                end => println!("{end:?}"),
            },
            _ => {}
        }
    }
}
