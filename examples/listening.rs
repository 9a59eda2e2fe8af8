//! How well a conversation listens, in figures: `cargo run --release --example listening CLIP...`.
//!
//! The clips, each one sentence, are strung together with pauses and cut into turns. Then the first
//! half of them is played as an answer whose echo comes back, with and without people of the second
//! half who speak into it. Give it a dozen recordings or more.

use mini_omni::hearing::{Heard, Listener, ListenerRules};
use mini_omni::{Provider, Result, Runtime, audio};

const RATE: usize = 16_000;
/// A sound card's piece: 20 ms.
const PIECE: usize = RATE / 50;

fn main() -> Result<()> {
    let runtime = Runtime::load(Provider::Cpu, 1)?;
    let clips = std::env::args().skip(1).map(|path| clip(&path));
    let clips: Vec<Vec<f32>> = clips.collect::<Result<_>>()?;
    strung_together(&runtime, &clips)?;
    let (answers, people) = clips.split_at(clips.len() / 2);
    for way in WAYS {
        echo(&runtime, &way, answers, &[], 0.0)?;
        for level in [1.0, 0.5] {
            echo(&runtime, &way, answers, people, level)?;
        }
    }
    idle(&runtime)
}

/// A recording at 16 kHz, from its first voice to its last.
fn clip(path: &str) -> Result<Vec<f32>> {
    let pcm = audio::resample(&audio::read(path.as_ref())?, RATE as u32)?;
    let loudness: Vec<f32> = pcm.samples().chunks(PIECE).map(rms).collect();
    let least = 0.05 * loudness.iter().copied().fold(0.0, f32::max);
    let first = loudness.iter().position(|&x| x > least).unwrap_or(0);
    let last = loudness.iter().rposition(|&x| x > least).unwrap_or(0);
    let end = ((last + 1) * PIECE).min(pcm.samples().len());
    Ok(scaled(&pcm.samples()[first * PIECE..end], 0.1))
}

fn rms(samples: &[f32]) -> f32 {
    (samples.iter().map(|x| x * x).sum::<f32>() / samples.len() as f32).sqrt()
}

/// The same as loud as asked.
fn scaled(samples: &[f32], level: f32) -> Vec<f32> {
    let gain = level / rms(samples).max(1e-6);
    samples.iter().map(|x| x * gain).collect()
}

/// A room at -66 dBFS, the same each time.
struct Room(u32);

impl Room {
    fn next(&mut self) -> f32 {
        self.0 = self.0.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        ((self.0 >> 8) as f32 / (1 << 23) as f32 - 1.0) * 8e-4
    }
}

fn strung_together(runtime: &Runtime, clips: &[Vec<f32>]) -> Result<()> {
    let mut room = Room(1);
    let (mut sound, mut spans) = (vec![0.0; RATE], Vec::new());
    for (i, clip) in clips.iter().enumerate() {
        spans.push(sound.len()..sound.len() + clip.len());
        sound.extend(clip);
        // 0.2, 0.5, ... 2 s.
        sound.extend(vec![0.0; RATE * (2 + 3 * (i % 7)) / 10]);
    }
    sound.extend(vec![0.0; 3 * RATE]);
    sound.iter_mut().for_each(|x| *x += room.next());
    for (meaning, goes_on) in [(None, None), (Some(2_000), None), (Some(2_000), Some(500))] {
        let rules = ListenerRules {
            meaning,
            goes_on,
            ..ListenerRules::default()
        };
        let mut listener = Listener::new(runtime, rules)?;
        // Questions, which are turns with those that they go on with.
        let (mut turns, mut begun, mut went_on) = (Vec::new(), 0, 0);
        for piece in sound.chunks(PIECE) {
            let judged = listener.wait()?;
            for heard in judged.into_iter().chain(listener.hear(piece, None)?) {
                match heard {
                    Heard::Start { at, from } => {
                        begun = from;
                        went_on += usize::from(from < at);
                        turns.retain(|(turn, _): &(std::ops::Range<u64>, _)| turn.start < from);
                    }
                    Heard::End { speech, .. } => {
                        turns.push((begun..speech.end, listener.position()));
                    }
                    _ => {}
                }
            }
        }
        let inside = |span: &std::ops::Range<usize>, turn: &std::ops::Range<u64>| {
            let both = span
                .end
                .min(turn.end as usize)
                .saturating_sub(span.start.max(turn.start as usize));
            both > RATE / 5
        };
        let turns_of = |span| turns.iter().filter(|turn| inside(span, &turn.0)).count();
        let cut = spans.iter().filter(|span| turns_of(span) > 1).count();
        let lost = spans.iter().filter(|span| turns_of(span) == 0).count();
        let spans_of = |turn| spans.iter().filter(|span| inside(span, turn)).count();
        let together = turns.iter().filter(|turn| spans_of(&turn.0) > 1).count();
        let mut late: Vec<f64> = turns
            .iter()
            .filter_map(|(turn, told)| {
                let last = spans.iter().rfind(|span| inside(span, turn))?;
                (*told as usize >= last.end).then(|| (*told as usize - last.end) as f64 / 16.0)
            })
            .collect();
        println!(
            "{} clips, meaning {meaning:?}, goes on {goes_on:?}: {} questions, {went_on} turns went on, {cut} clips cut, {together} run together, {lost} lost; told {} ms behind the voice",
            clips.len(),
            turns.len(),
            quantiles(&mut late)
        );
    }
    Ok(())
}

/// The way from loudspeaker to microphone.
struct Way {
    late_ms: usize,
    db: f32,
    reverberation: bool,
}

const WAYS: [Way; 6] = [
    Way {
        late_ms: 30,
        db: -12.0,
        reverberation: false,
    },
    Way {
        late_ms: 30,
        db: -12.0,
        reverberation: true,
    },
    Way {
        late_ms: 10,
        db: -6.0,
        reverberation: true,
    },
    Way {
        late_ms: 200,
        db: -6.0,
        reverberation: true,
    },
    Way {
        late_ms: 100,
        db: -30.0,
        reverberation: true,
    },
    Way {
        late_ms: 50,
        db: -20.0,
        reverberation: true,
    },
];

impl Way {
    /// Delays in samples, and gains: the direct sound, and what the walls send back in 0.3 s.
    fn taps(&self) -> Vec<(usize, f32)> {
        let direct = self.late_ms * RATE / 1000;
        let gain = 10f32.powf(self.db / 20.0);
        let mut taps = vec![(direct, gain)];
        let mut room = Room(5);
        for i in 1..if self.reverberation { 80 } else { 1 } {
            let late = 37 * i + (room.next() * 2e4) as usize;
            let decay = 10f32.powf(-3.0 * late as f32 / (0.3 * RATE as f32));
            taps.push((direct + late, gain * decay * 0.35 * room.next() / 4.6e-4));
        }
        taps
    }
}

/// Samples from one person's onset to the next one's.
const APART: usize = 5 * RATE + 1234;

/// Plays answers for a minute or more while people of this level, beside the echo's, speak into them:
/// each of them once.
fn echo(
    runtime: &Runtime,
    way: &Way,
    answers: &[Vec<f32>],
    people: &[Vec<f32>],
    level: f32,
) -> Result<()> {
    let answer = answers
        .iter()
        .flat_map(|clip| [clip.clone(), vec![0.0; RATE / 4]])
        .collect::<Vec<_>>();
    let mut answer = answer.concat().into_iter().cycle();
    let taps = way.taps();
    let length = (6 * RATE + people.len() * APART).max(60 * RATE) / PIECE * PIECE;
    let (mut person, mut onsets) = (vec![0.0; length], Vec::new());
    for (at, clip) in (3 * RATE..).step_by(APART).zip(people) {
        let loudness = 0.1 * 10f32.powf(way.db / 20.0) * level;
        let clip = scaled(&clip[..clip.len().min(3 * RATE / 2)], loudness);
        onsets.push(at);
        person[at..at + clip.len()].copy_from_slice(&clip);
    }
    let mut listener = Listener::new(runtime, ListenerRules::default())?;
    let (mut room, mut played, mut held) = (Room(9), vec![0.0f32; length], false);
    let (mut holds, mut interruptions, mut ends) = (Vec::new(), Vec::new(), 0);
    for start in (0..length).step_by(PIECE) {
        if !held {
            played[start..start + PIECE]
                .iter_mut()
                .for_each(|x| *x = answer.next().unwrap_or(0.0));
        }
        let heard = (start..start + PIECE).map(|at| {
            let echo = taps
                .iter()
                .filter_map(|&(late, gain)| Some(played[at.checked_sub(late)?] * gain));
            echo.sum::<f32>() + person[at] + room.next()
        });
        let heard: Vec<f32> = heard.collect();
        let playing = (!held).then(|| &played[start..start + PIECE]);
        for told in listener.hear(&heard, playing)? {
            match told {
                Heard::Overlap => (held, _) = (true, holds.push(start + PIECE)),
                Heard::OverlapOver => held = false,
                Heard::Interruption { .. } => interruptions.push(start + PIECE),
                Heard::End { .. } => (held, ends) = (false, ends + 1),
                _ => {}
            }
        }
    }
    let theirs = |at: usize, onset: usize| (onset..onset + 3 * RATE / 2 + RATE / 2).contains(&at);
    let false_of = |list: &[usize]| {
        list.iter()
            .filter(|&&at| !onsets.iter().any(|&o| theirs(at, o)))
            .count()
    };
    let found = onsets
        .iter()
        .filter(|&&o| interruptions.iter().any(|&at| theirs(at, o)))
        .count();
    let mut late: Vec<f64> = onsets
        .iter()
        .filter_map(|&o| {
            holds
                .iter()
                .find(|&&at| theirs(at, o))
                .map(|&at| (at - o) as f64 / 16.0)
        })
        .collect();
    println!(
        "echo {} ms late, {} dB, {}; people at {level}: {found} of {} found, held {} ms behind their onset; false in {} s: {} holds, {} interruptions",
        way.late_ms,
        way.db,
        if way.reverberation {
            "reverberant"
        } else {
            "dry"
        },
        onsets.len(),
        quantiles(&mut late),
        length / RATE,
        false_of(&holds),
        false_of(&interruptions)
    );
    Ok(())
}

/// Listens to a room for a minute.
fn idle(runtime: &Runtime) -> Result<()> {
    let mut listener = Listener::new(runtime, ListenerRules::default())?;
    let mut room = Room(3);
    let start = std::time::Instant::now();
    for _ in 0..60 * 50 {
        let piece: Vec<f32> = (0..PIECE).map(|_| room.next()).collect();
        listener.hear(&piece, None)?;
    }
    let share = start.elapsed().as_secs_f64() / 60.0 * 100.0;
    println!("idle listening: {share:.2} % of a core");
    Ok(())
}

/// p50 and p95.
fn quantiles(values: &mut [f64]) -> String {
    values.sort_by(f64::total_cmp);
    let at = |q: f64| {
        values
            .get((q * values.len() as f64) as usize)
            .or(values.last())
    };
    let [p50, p95] = [0.5, 0.95].map(|q| at(q).copied().unwrap_or(f64::NAN));
    format!("p50 {p50:.0}, p95 {p95:.0}")
}
