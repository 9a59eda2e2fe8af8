//! How many conversations this machine holds at once with every frame on time.
//!
//! All of them ask at the same moment, the hardest start; each has a player that begins with the
//! first sound. The largest number without a late frame is found by halving.

use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use mini_omni::model::Manifest;

use mini_omni::{Answer, Event, Limits, Omni, Options, Question, Request, Scheduler, Trace};
use serde::{Deserialize, Serialize};

use super::player::Player;
use super::text_ends_half_way;
use crate::cli::stats::Stats;
use crate::cli::terminal::Progress;

/// What the search found.
#[derive(Debug, Serialize, Deserialize)]
pub struct Conversations {
    /// The most that was looked for.
    pub most: usize,
    /// The largest number with every frame on time.
    pub on_time: usize,
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
        let (mut on_time, mut above) = (0, self.most + 1);
        let mut runs = Vec::new();
        let mut progress = Progress::new();
        while on_time + 1 < above {
            let n = on_time.midpoint(above);
            progress.show(format_args!("{n} conversations at once  "));
            let run = self.at_once(&scheduler, &manifest, (question, &options), n)?;
            if run.late == 0 {
                on_time = n;
            } else {
                above = n;
            }
            runs.push(run);
        }
        drop(progress);
        runs.sort_by_key(|run| run.n);
        Ok(Conversations {
            most: self.most,
            on_time,
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
        (question, options): (&Question, &Options),
        n: usize,
    ) -> Result<Run> {
        let asked = (0..n)
            .map(|_| scheduler.submit(Request::new(question.clone(), options.clone())))
            .collect::<Result<Vec<_>, _>>()?;
        let heard = std::thread::scope(|scope| {
            let listen = |answer| {
                let player = Player::new(&manifest.codec, self.player_buffer);
                scope.spawn(move || listen(answer, player))
            };
            let listeners: Vec<_> = asked.into_iter().map(listen).collect();
            listeners
                .into_iter()
                .map(|one| one.join().map_err(|_| anyhow!("a listener panicked"))?)
                .collect::<Result<Vec<_>>>()
        })?;
        Ok(summary(n, &heard, manifest.codec.sample_rate))
    }
}

/// Hears an answer out.
fn listen(mut answer: Answer, mut player: Player) -> Result<(Trace, usize)> {
    for event in &mut answer {
        if let Event::Audio(chunk) = event {
            player.take(Instant::now(), chunk.len());
        }
    }
    Ok((answer.finish()?, player.late))
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
