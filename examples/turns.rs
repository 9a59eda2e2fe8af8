//! Turns of recordings, as a conversation finds them: `cargo run --release --example turns WAV...`.
//!
//! With `--meaning` a turn ends sooner where the sentence sounds complete, and later where not.

use mini_omni::hearing::{Heard, Listener, ListenerRules};
use mini_omni::{Provider, Result, Runtime, audio};

const RATE: u32 = 16_000;

fn main() -> Result<()> {
    let runtime = Runtime::load(Provider::Cpu, 1)?;
    let mut rules = ListenerRules::default();
    for argument in std::env::args().skip(1) {
        if argument == "--meaning" {
            rules.meaning = Some(2_000);
            continue;
        }
        let sound = audio::resample(&audio::read(argument.as_ref())?, RATE)?;
        let mut listener = Listener::new(&runtime, rules.clone())?;
        println!("{argument}");
        // A microphone gives sound in pieces; silence ends the last turn.
        let silence = vec![0.0; 3 * RATE as usize];
        for piece in sound.samples().chunks(320).chain(silence.chunks(320)) {
            // In real time the judgement of a sentence would come before the next piece or two.
            let judged = listener.wait()?;
            for heard in judged.into_iter().chain(listener.hear(piece, None)?) {
                if let Heard::End { speech, .. } = heard {
                    let [start, end, told] = [speech.start, speech.end, listener.position()]
                        .map(|at| at as f64 / f64::from(RATE));
                    println!("  {start:6.2} s to {end:6.2} s, known at {told:6.2} s");
                }
            }
        }
    }
    Ok(())
}
