//! How many conversations this machine holds at once.
//!
//! People ask independently of each other: each begins at a moment of their own, hears the answer
//! out, thinks, and asks again. A number of them is sustained if no frame comes late, every answer is
//! written faster than it sounds with a twentieth to spare, and nearly all first sounds come soon.
//! The largest such number is found by halving.

use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use mini_omni::model::Manifest;

use mini_omni::{Event, Limits, Omni, Options, Question, Request, Scheduler, Trace};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

use super::player::Player;
use super::text_ends_half_way;
use crate::cli::stats::Stats;
use crate::cli::terminal::Progress;

/// Questions that each person asks.
const QUESTIONS: usize = 3;
/// A person thinks for up to this share of an answer's length.
const THINKING: f64 = 0.25;
/// What is sustained: most of an answer's time over its length.
const MOST_FACTOR: f64 = 0.95;
/// And the p95 of first sounds, ms.
const MOST_FIRST_AUDIO: f64 = 1500.0;

/// What the search found.
#[derive(Debug, Serialize, Deserialize)]
pub struct Conversations {
    /// The most that was looked for.
    pub most: usize,
    /// The largest number that was sustained.
    #[serde(alias = "on_time")]
    pub sustained: usize,
    /// Seconds of each answer; its text ends half-way.
    pub answer_seconds: f64,
    /// How long a player holds the first sound back.
    pub player_buffer_ms: u64,
    pub codec_threads: usize,
    /// By n.
    pub runs: Vec<Run>,
}

/// `n` conversations at once.
#[derive(Debug, Serialize, Deserialize)]
pub struct Run {
    pub n: usize,
    /// Frames of all answers.
    pub frames: usize,
    /// Of these, those that came after they should have begun to sound.
    pub late: usize,
    /// A pass of the decoder over all rows.
    pub step_ms: Option<Stats>,
    pub first_audio_ms: Option<Stats>,
    /// Time of the slowest answer over its length.
    pub real_time_factor: Option<f64>,
}

impl Run {
    fn is_sustained(&self) -> bool {
        let soon = |first: &Stats| first.p95 <= MOST_FIRST_AUDIO;
        self.late == 0
            && self
                .real_time_factor
                .is_none_or(|factor| factor <= MOST_FACTOR)
            && self.first_audio_ms.as_ref().is_none_or(soon)
    }
}

/// What to look for.
pub struct Search {
    pub most: usize,
    pub seconds: f64,
    pub player_buffer: Duration,
}

impl Search {
    /// Runs the search.
    pub fn run(&self, omni: Omni, question: &Question, options: &Options) -> Result<Conversations> {
        let manifest = omni.manifest().clone();
        let mut limits = Limits::default();
        limits.answers = self.most;
        let options = forced(options, &manifest, self.seconds);
        let scheduler = Scheduler::new(omni, limits)?;
        let (mut sustained, mut above) = (0, self.most + 1);
        let mut runs = Vec::new();
        let mut progress = Progress::new();
        while sustained + 1 < above {
            // All that are looked for may well be sustained.
            let n = if runs.is_empty() {
                self.most
            } else {
                sustained.midpoint(above)
            };
            progress.show(format_args!("{n} conversations at once  "));
            let run = self.at_once(&scheduler, &manifest, (question, &options), n)?;
            if run.is_sustained() {
                sustained = n;
            } else {
                above = n;
            }
            runs.push(run);
        }
        drop(progress);
        runs.sort_by_key(|run| run.n);
        Ok(Conversations {
            most: self.most,
            sustained,
            answer_seconds: self.seconds,
            player_buffer_ms: self.player_buffer.as_millis() as u64,
            codec_threads: limits.codec_threads,
            runs,
        })
    }

    fn at_once(
        &self,
        scheduler: &Scheduler,
        manifest: &Manifest,
        asked: (&Question, &Options),
        n: usize,
    ) -> Result<Run> {
        let heard = std::thread::scope(|scope| {
            let person = |i| scope.spawn(move || self.converse(scheduler, manifest, asked, i));
            let people: Vec<_> = (0..n).map(person).collect();
            people
                .into_iter()
                .map(|one| one.join().map_err(|_| anyhow!("a person panicked"))?)
                .collect::<Result<Vec<_>>>()
        })?;
        Ok(summary(n, &heard.concat(), manifest.codec.sample_rate))
    }

    /// Person `i` asks, hears out, thinks and asks again; every answer's record and late frames.
    fn converse(
        &self,
        scheduler: &Scheduler,
        manifest: &Manifest,
        (question, options): (&Question, &Options),
        i: usize,
    ) -> Result<Vec<(Trace, usize)>> {
        let mut random = ChaCha8Rng::seed_from_u64(i as u64);
        let mut wait = move |most: f64| {
            let share = f64::from(random.next_u32()) / f64::from(u32::MAX);
            sleep(Duration::from_secs_f64(most * share));
        };
        wait(self.seconds);
        let mut heard = Vec::new();
        for _ in 0..QUESTIONS {
            let mut player = Player::new(&manifest.codec, self.player_buffer);
            let mut answer = scheduler.submit(Request::new(question.clone(), options.clone()))?;
            for event in &mut answer {
                if let Event::Audio(chunk) = event {
                    player.take(Instant::now(), chunk.len());
                }
            }
            heard.push((answer.finish()?, player.late));
            sleep(player.left(Instant::now()));
            wait(self.seconds * THINKING);
        }
        Ok(heard)
    }
}

fn summary(n: usize, heard: &[(Trace, usize)], sample_rate: u32) -> Run {
    let all = |of: &dyn Fn(&Trace) -> Vec<f64>| heard.iter().flat_map(|(t, _)| of(t)).collect();
    let factors: Vec<f64> = all(&|t| t.real_time_factor(sample_rate).into_iter().collect());
    Run {
        n,
        frames: heard.iter().map(|(trace, _)| trace.frames).sum(),
        late: heard.iter().map(|(_, late)| late).sum(),
        step_ms: Stats::of(all(&|t| t.timings_ms.steps.clone())),
        first_audio_ms: Stats::of(all(&|t| t.timings_ms.first_audio.into_iter().collect())),
        real_time_factor: factors.into_iter().reduce(f64::max),
    }
}

/// The same options, for an answer of `seconds` whose text ends half-way.
fn forced(options: &Options, manifest: &Manifest, seconds: f64) -> Options {
    let codec = &manifest.codec;
    let frames = seconds * f64::from(codec.sample_rate) / codec.samples_per_frame as f64;
    let lag = manifest.delays.iter().max().copied().unwrap_or(0);
    let steps = frames.ceil() as usize + lag;
    let mut options = options.clone();
    options.max_steps = Some(steps);
    text_ends_half_way(&options)
}
