//! `mini-omni eval`: a labelled set through a task, several at once, as figures and as an exit code.
//!
//! Each finished item is a line of the results file at once, so a run that was killed goes on with what
//! is missing.

mod asking;
mod children;
mod judge;
mod line;
mod log;
mod report;
mod set;
mod summary;

use std::collections::{BTreeSet, HashMap};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use clap::Args;
use mini_omni::eval::quoted;
use mini_omni::model::{FILE_NAME, sha256_hex};
use mini_omni::{Manifest, Omni, Options, Runtime, Source, Task};

use self::asking::Asking;
use self::judge::Judge;
use self::line::Line;
use self::log::{FORMAT_VERSION, Log, Settings};
use self::report::table;
use self::set::{Asked, Item};
use self::summary::{Figures, Summary};
use super::EXIT_DISAGREES;
use super::ask::task_parser;
use super::compute::{Compute, WindowArg, window};
use super::output::Claims;
use super::results::{Results, json};
use super::terminal::{Progress, say};

/// Characters of the progress bar.
const BAR: usize = 30;

#[derive(Args)]
pub struct Eval {
    /// The model folder
    #[arg(value_name = "MODEL")]
    model_dir: PathBuf,
    /// The labelled set: a folder of LibriSpeech's layout, or a .jsonl, .csv or .tsv file
    #[arg(long, value_name = "SET")]
    data: PathBuf,
    /// What to do; where not given: a1t1 for sound with text, a1t2 for sound with answers, t1t2 for
    /// written questions
    #[arg(long, value_parser = task_parser())]
    task: Option<Task>,
    /// Append each finished item here, one JSON line each; a run that was killed goes on from it
    #[arg(long, value_name = "FILE")]
    out: Option<PathBuf>,
    /// Write the figures here as JSON; - is standard output
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Hear spoken answers by this command: it gets a wav file as its last argument and prints text
    #[arg(long, value_name = "COMMAND")]
    judge: Option<String>,
    /// Seconds that the judge may take for an answer
    #[arg(long, default_value_t = 300, value_name = "N", requires = "judge", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    judge_seconds: u32,
    /// Only the first N items of the set
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    limit: Option<u32>,
    /// Items under way together
    #[arg(long, default_value_t = 8, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u16).range(1..=256))]
    at_once: u16,
    /// Items shown and kept in the figures as the worst
    #[arg(
        long,
        default_value_t = 5,
        value_name = "N",
        allow_negative_numbers = true
    )]
    worst: u16,
    /// Exit with 1 where the word error rate by Whisper's rule is above this share
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    max_wer: Option<f64>,
    /// Exit with 1 where less than this share of the answers, 0 to 1, is right
    #[arg(long, value_name = "X", allow_negative_numbers = true)]
    min_right: Option<f64>,
    /// Most steps of each answer; 12 steps are a second of speech
    #[arg(long, value_name = "N", allow_negative_numbers = true, value_parser = clap::value_parser!(u32).range(1..))]
    max_steps: Option<u32>,
    /// How much the encoder hears; merged by default where the model has a plan for it, else full
    #[arg(long, value_enum)]
    encoder_window: Option<WindowArg>,
    /// Answer sound without speech, too
    #[arg(long)]
    answer_anything: bool,
    #[command(flatten)]
    compute: Compute,
}

impl Eval {
    pub fn run(&self) -> Result<ExitCode> {
        let manifest = Manifest::load(&self.model_dir)?;
        let (task, mut items) = set::read(&self.data, self.task)?;
        items.truncate(self.limit.map_or(usize::MAX, |n| n as usize));
        self.check(task)?;
        set::check_sounds(&items)?;
        let judge = self.judge(task)?;
        let claims = self.claims(&manifest, &items)?;
        let results = Results::open(&[("--json", self.json.as_deref())], claims)?;
        let runtime = self.compute.runtime()?;
        let settings = self.settings(&manifest, task, &runtime)?;
        let asking = self.asking(task, judge);
        let lines = self.lines(&items, &settings, &asking, &runtime)?;
        let summary = self.summary(lines, settings);
        results.write(|| table(&summary), |_| json(&summary))?;
        self.verdict(&summary)
    }

    /// Refuses gates that cannot hold or fall, and says which option was given for nothing.
    fn check(&self, task: Task) -> Result<()> {
        let name = task.name();
        if let Some(x) = self.max_wer.filter(|x| !x.is_finite() || *x < 0.0) {
            bail!("--max-wer {x} makes no sense; give 0 or more, such as 0.05");
        }
        if let Some(x) = self.min_right.filter(|x| !(0.0..=1.0).contains(x)) {
            bail!("--min-right {x} makes no sense; give a share from 0 to 1");
        }
        if self.max_wer.is_some() && task != Task::A1T1 {
            bail!("--max-wer is of transcriptions, and {name} answers; give --min-right");
        }
        if self.min_right.is_some() && task == Task::A1T1 {
            bail!("--min-right is of answers, and a1t1 transcribes; give --max-wer");
        }
        if self.judge.as_ref().is_some_and(|it| it.trim().is_empty()) {
            bail!("--judge is empty; give a command that prints what it hears");
        }
        if self.judge.is_some() && !task.speaks() {
            say(format_args!(
                "note: --judge has no effect, since {name} does not speak"
            ));
        }
        if task.source() == Source::Text && self.answer_anything {
            say("note: --answer-anything has no effect on written questions");
        }
        Ok(())
    }

    /// What is read and must not be written.
    fn claims(&self, manifest: &Manifest, items: &[Item]) -> Result<Claims> {
        let mut claims = Claims::default();
        claims.reads_model(&self.model_dir, manifest);
        claims.reads("the set", &self.data);
        let tables = items.iter().filter_map(|item| item.place.rsplit_once(':'));
        for table in tables.map(|(table, _)| table).collect::<BTreeSet<_>>() {
            claims.reads("the set", Path::new(table));
        }
        for item in items {
            if let Asked::Sound(path) = &item.asked {
                claims.reads("a sound of the set", path);
            }
        }
        if let Some(out) = &self.out {
            claims.writes("--out", out)?;
        }
        Ok(claims)
    }

    fn settings(&self, manifest: &Manifest, task: Task, runtime: &Runtime) -> Result<Settings> {
        Ok(Settings {
            format_version: FORMAT_VERSION,
            version: env!("CARGO_PKG_VERSION").into(),
            model: manifest.name.clone(),
            hash: manifest.hash(),
            manifest: sha256_hex(&self.model_dir.join(FILE_NAME))
                .context("cannot read the manifest")?,
            onnxruntime: runtime.version(),
            provider: runtime.provider().name().into(),
            kernels: runtime.kernels().name().into(),
            threads: runtime.threads(),
            task: task.name().into(),
            encoder_window: window(self.encoder_window, manifest)?.name().into(),
            max_steps: self.max_steps,
            answer_anything: self.answer_anything,
            judge: self.judge.clone().filter(|_| task.speaks()),
        })
    }

    /// A line for each item, in the set's order: those that are there, and the others' by asking.
    fn lines(
        &self,
        items: &[Item],
        settings: &Settings,
        asking: &Asking,
        runtime: &Runtime,
    ) -> Result<Vec<Line>> {
        let open = |path: &PathBuf| Log::open(path, settings);
        let (mut log, known) = self.out.as_ref().map(open).transpose()?.unzip();
        let known = known.unwrap_or_default().into_iter();
        let mut lines: HashMap<String, Line> = known.map(|l| (l.id.clone(), l)).collect();
        self.check_lines(items, &lines)?;
        let missing: Vec<&Item> = items
            .iter()
            .filter(|i| !lines.contains_key(&i.id))
            .collect();
        let there = items.len() - missing.len();
        if there > 0 {
            say(format_args!(
                "{there} of {} items are done already",
                items.len()
            ));
        }
        if !missing.is_empty() {
            let mut shown = Shown::new(missing.len());
            let omni = Omni::load(&self.model_dir, runtime)?;
            asking.ask(omni, &missing, |line| {
                log.as_mut().map_or(Ok(()), |log| log.append(&line))?;
                lines.insert(line.id.clone(), line);
                shown.one_more();
                Ok(())
            })?;
        }
        Ok(items
            .iter()
            .filter_map(|item| lines.remove(&item.id))
            .collect())
    }

    /// Lines of what was asked or labelled otherwise would give figures of two sets.
    fn check_lines(&self, items: &[Item], lines: &HashMap<String, Line>) -> Result<()> {
        for item in items {
            let line = lines.get(&item.id);
            let other = line.map(|line| line.differs(item)).transpose()?.flatten();
            if let (Some(what), Some(out)) = (other, &self.out) {
                bail!(
                    "{}: the {what} of {} is another than in {}; give another --out",
                    item.place,
                    quoted(&item.id),
                    out.display()
                );
            }
        }
        Ok(())
    }

    /// The judge of a task that speaks.
    fn judge(&self, task: Task) -> Result<Option<Judge>> {
        let command = self.judge.as_deref().filter(|_| task.speaks());
        let time = Duration::from_secs(self.judge_seconds.into());
        command.map(|it| Judge::new(it, time)).transpose()
    }

    fn asking(&self, task: Task, judge: Option<Judge>) -> Asking {
        let mut options = Options::for_task(task);
        options.max_steps = self.max_steps.map(|n| n as usize);
        options.window = self.encoder_window.map(Into::into);
        options.answer_anything = self.answer_anything;
        Asking {
            options,
            judge,
            at_once: usize::from(self.at_once),
        }
    }

    fn summary(&self, lines: Vec<Line>, settings: Settings) -> Summary {
        let figures = Figures(&lines);
        Summary {
            settings,
            set: self.data.display().to_string(),
            items: lines.len(),
            cut: figures.cut(),
            no_speech: figures.ended("no-speech"),
            limit: figures.ended("limit"),
            transcription: figures.transcription(),
            answers: figures.answers(),
            answers_heard: figures.answers_heard(),
            voice: figures.voice(),
            worst: figures.worst(usize::from(self.worst)),
        }
    }

    /// Whether the gates hold. One that has nothing to look at is an error.
    fn verdict(&self, summary: &Summary) -> Result<ExitCode> {
        let transcription = summary.transcription.as_ref();
        let wer = transcription.and_then(|by| by.whisper.words.corpus);
        let right = summary.answers.as_ref().map(|answers| answers.share);
        if self.max_wer.is_some() && wer.is_none() {
            bail!("--max-wer has no word error rate to look at");
        }
        if self.min_right.is_some() && right.is_none() {
            bail!("--min-right has no answers to look at");
        }
        let above = wer.zip(self.max_wer).filter(|(wer, most)| wer > most);
        let below = right
            .zip(self.min_right)
            .filter(|(right, least)| right < least);
        if let Some((wer, most)) = above {
            say(format_args!(
                "the word error rate {wer:.4} is above --max-wer {most}"
            ));
        }
        if let Some((right, least)) = below {
            say(format_args!(
                "the share of right answers {right:.4} is below --min-right {least}"
            ));
        }
        Ok(match above.or(below) {
            Some(_) => ExitCode::from(EXIT_DISAGREES),
            None => ExitCode::SUCCESS,
        })
    }
}

/// How far the work is, on a terminal.
struct Shown {
    line: Progress,
    start: Instant,
    done: usize,
    of: usize,
}

impl Shown {
    fn new(of: usize) -> Shown {
        Shown {
            line: Progress::new(),
            start: Instant::now(),
            done: 0,
            of,
        }
    }

    fn one_more(&mut self) {
        self.done += 1;
        let (done, of) = (self.done, self.of);
        let left = self.start.elapsed().as_secs() as usize * (of - done) / done;
        let full = BAR * done / of;
        let bar = "#".repeat(full) + &".".repeat(BAR - full);
        let (minutes, seconds) = (left / 60, left % 60);
        self.line.show(format_args!(
            "[{bar}] {done} of {of}, {minutes}:{seconds:02} left   "
        ));
    }
}
