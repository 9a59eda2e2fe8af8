//! A set's questions, several at once: each worker takes the next item as soon as it is free.

use std::sync::Mutex;
use std::sync::mpsc::channel;

use anyhow::{Context, Result};
use mini_omni::audio::{Lasts, Limit};
use mini_omni::{Event, Limits, Omni, Options, Question, Request, Scheduler};

use super::judge::Judge;
use super::line::{Answered, Line};
use super::set::{Asked, Item};

/// How every item is asked.
pub struct Asking {
    pub options: Options,
    pub judge: Option<Judge>,
    /// Answers under way together.
    pub at_once: usize,
}

/// What all workers share.
struct Work<'a> {
    asking: &'a Asking,
    scheduler: Scheduler,
    /// What the model hears of a sound, seconds.
    hears: f64,
    sample_rate: u32,
}

impl Asking {
    /// Asks all items; gives `done` each line when its item is finished, in whatever order. At the first
    /// error, from an item or from `done`, nothing new is asked, and what is under way is finished. The
    /// first sound goes to the judge before others are asked: a wrong command should cost one answer.
    pub fn ask(
        &self,
        omni: Omni,
        items: &[&Item],
        mut done: impl FnMut(Line) -> Result<()>,
    ) -> Result<()> {
        let mut limits = Limits::default();
        limits.answers = self.at_once;
        let work = Work {
            asking: self,
            hears: omni.manifest().mel.max_seconds as f64,
            sample_rate: omni.manifest().codec.sample_rate,
            scheduler: Scheduler::new(omni, limits)?,
        };
        let mut items = items.iter().enumerate();
        let mut is_tried = self.judge.is_none();
        while !is_tried && let Some((number, item)) = items.next() {
            let line = work.line(item, number)?;
            is_tried = line.seconds.is_some_and(|seconds| seconds > 0.0);
            done(line)?;
        }
        let next = Mutex::new(items);
        let take = || next.lock().ok().and_then(|mut items| items.next());
        let skip_the_rest = || next.lock().ok().map(|mut items| items.by_ref().count());
        let (lines, finished) = channel();
        let mut outcome = Ok(());
        std::thread::scope(|scope| {
            for _ in 0..self.at_once {
                let (lines, work, take) = (lines.clone(), &work, &take);
                scope.spawn(move || {
                    while let Some((number, item)) = take() {
                        // Nobody listens where the program is ending.
                        let _ = lines.send(work.line(item, number));
                    }
                });
            }
            drop(lines);
            for line in finished {
                let noted = line.and_then(&mut done);
                if noted.is_err() {
                    skip_the_rest();
                    outcome = std::mem::replace(&mut outcome, Ok(())).and(noted);
                }
            }
        });
        outcome
    }
}

impl Work<'_> {
    fn line(&self, item: &Item, number: usize) -> Result<Line> {
        let answered = self.answered(item, number);
        Line::of(item, answered.with_context(|| item.place.clone())?)
    }

    fn answered(&self, item: &Item, number: usize) -> Result<Answered> {
        let asked = item.asked.fingerprint()?;
        let (question, cut) = self.question(&item.asked)?;
        let request = Request::new(question, self.asking.options.clone());
        let mut answer = self.scheduler.submit(request)?;
        let mut pcm = Vec::new();
        for event in &mut answer {
            if let Event::Audio(samples) = event {
                pcm.extend(samples);
            }
        }
        let trace = answer.finish()?;
        let speaks = self.asking.options.task.speaks();
        let judge = self.asking.judge.as_ref().filter(|_| speaks);
        let heard = judge.map(|judge| judge.hear(&pcm, self.sample_rate, number));
        let seconds = pcm.len() as f64 / f64::from(self.sample_rate);
        Ok(Answered {
            asked,
            said: trace.text,
            ended: trace.ended.name().into(),
            cut,
            total_ms: trace.timings_ms.total,
            seconds: speaks.then_some(seconds),
            heard: heard.transpose()?,
        })
    }

    /// What is asked, and whether it is cut to what the model hears.
    fn question(&self, asked: &Asked) -> Result<(Question, bool)> {
        Ok(match asked {
            Asked::Text(text) => (Question::Text(text.clone()), false),
            Asked::Sound(path) => {
                let recording = Limit::First(self.hears).read(path)?;
                let is_longer = match recording.lasts {
                    Lasts::Exactly(seconds) => seconds > self.hears,
                    Lasts::MoreThan(_) => true,
                };
                (Question::Audio(recording.pcm), is_longer)
            }
        })
    }
}
