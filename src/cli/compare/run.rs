//! Asking both, question by question.

use anyhow::{Context, Result, bail};
use mini_omni::compare::{Side, first_fault};
use mini_omni::{Kernels, Provider};

use super::against::{Against, Asking, Reference, side};
use super::inputs::Input;
use super::report::{Asked, Computed, Figures, LocatedAt, Report, worst_first, worst_stages};
use super::{Compare, MAX_STEPS, RUNS};
use crate::cli::terminal::Progress;

/// What `--locate` found, or why it found nothing.
#[derive(Default)]
struct Looked {
    found: Option<LocatedAt>,
    why_not: Option<String>,
}

impl Compare {
    /// One report, or as many as a calibration takes.
    pub(super) fn runs(&self, reference: Reference, inputs: &[Input]) -> Result<Vec<Report>> {
        let runtime = self.compute.runtime()?;
        let on_cpu = runtime.with_provider(Provider::Cpu)?;
        let on_cpu = on_cpu.with_kernels(Kernels::best())?;
        let window = self.reference_encoder_window;
        let mut against = Against::open(reference, &self.reference, &on_cpu, window)?;
        let mut candidate = side(&self.model_dir, &runtime, self.encoder_window)?;
        let sides = [
            against.computed(&on_cpu),
            Computed::of(&candidate, &runtime),
        ];
        let n = if self.calibrate { RUNS } else { 1 };
        let report = |run| {
            let asked = self.ask(&mut against, &mut candidate, inputs, run == 0)?;
            let located = self.located(&mut against, &mut candidate, inputs, &asked)?;
            let max_steps = against.max_steps();
            self.report(sides.clone(), max_steps, asked, located)
        };
        (0..n).map(report).collect()
    }

    fn report(
        &self,
        [reference, candidate]: [Computed; 2],
        max_steps: Option<usize>,
        inputs: Vec<Asked>,
        looked: Looked,
    ) -> Result<Report> {
        let figures = Figures::of(&inputs);
        if figures.all.agreement.of == 0 {
            bail!("no id was compared, so nothing is known of the model; ask it something");
        }
        let stages = worst_stages(&inputs);
        let at_fault = stages.iter().find(|worst| worst.drift.is_beyond(self.band));
        let same = inputs.iter().filter(|a| a.comparison.divergence.is_none());
        Ok(Report {
            version: env!("CARGO_PKG_VERSION").into(),
            onnxruntime: candidate.onnxruntime.clone(),
            threads: candidate.threads,
            reference,
            candidate,
            recorded: mini_omni::compare::Recording::is_in(&self.reference),
            max_steps: max_steps.unwrap_or(self.max_steps.unwrap_or(MAX_STEPS) as usize),
            agreement: figures.all.agreement.share(),
            streams: figures.streams,
            text: figures.text,
            audio: figures.audio,
            same_answers: same.count() as f64 / inputs.len() as f64,
            band: self.band,
            first_fault: at_fault.map(|worst| worst.drift.stage),
            stages,
            located: looked.found,
            not_located: looked.why_not,
            min_agreement: self.min_agreement,
            gates: Vec::new(),
            inputs,
        })
    }

    /// Of a calibration's runs the first one alone keeps its sounds, and of that one the worst.
    fn ask(
        &self,
        against: &mut Against,
        candidate: &mut Side,
        inputs: &[Input],
        keeps_sounds: bool,
    ) -> Result<Vec<Asked>> {
        let kept = match (&self.html, keeps_sounds) {
            (Some(_), true) => self.worst.into(),
            _ => 0,
        };
        let recorded = match against {
            Against::Recording(_, recording) => recording.questions.clone(),
            Against::Model(..) => Vec::new(),
        };
        let asking = self.asking(inputs);
        let asking: Vec<_> = recorded
            .iter()
            .map(Asking::Recorded)
            .chain(asking)
            .collect();
        let mut shown = Progress::new();
        let mut asked = Vec::with_capacity(asking.len());
        for (i, question) in asking.iter().enumerate() {
            let progress = |step: usize| {
                let (i, n) = (i + 1, asking.len());
                shown.show(format_args!("question {i} of {n}, step {step:<5}"));
            };
            let comparison = against.compare(candidate, question, progress);
            asked.push(Asked {
                input: question.name().into(),
                comparison: comparison
                    .with_context(|| format!("cannot compare by {}", question.name()))?,
            });
            keep_sounds(&mut asked, kept);
        }
        Ok(asked)
    }

    /// Where the first stage at fault is, by the question that shows it most.
    fn located(
        &self,
        against: &mut Against,
        candidate: &mut Side,
        inputs: &[Input],
        asked: &[Asked],
    ) -> Result<Looked> {
        if !self.locate {
            return Ok(Looked::default());
        }
        let stages = worst_stages(asked);
        let Some(worst) = stages.iter().find(|worst| worst.drift.is_beyond(self.band)) else {
            return Ok(Looked::default());
        };
        let pairs = inputs.iter().zip(asked);
        // The worst question of a later stage may have an earlier stage at fault; it is told first.
        let shows = |(_, asked): &(&Input, &Asked)| {
            let fault = first_fault(&asked.comparison.stages, self.band);
            fault.is_some_and(|fault| fault.stage == worst.drift.stage)
        };
        let mut showing: Vec<_> = pairs.filter(shows).collect();
        showing.sort_by_key(|(input, _)| input.name != worst.input);
        let Some((input, asked)) = showing.first() else {
            return Ok(Looked::default());
        };
        let question = (&input.question, self.protocol(input));
        let found = against.locate(candidate, question, &asked.comparison, self.band)?;
        Ok(Looked {
            why_not: found.is_none().then(|| against.why_not_located(candidate)),
            found: found.map(|located| LocatedAt {
                input: input.name.clone(),
                located,
            }),
        })
    }
}

/// Drops the sounds of all but the worst, so that a long set takes no more memory than a short one.
fn keep_sounds(asked: &mut [Asked], n: usize) {
    let better = worst_first(asked).split_off(n.min(asked.len()));
    let dropped: Vec<String> = better.iter().map(|asked| asked.input.clone()).collect();
    for asked in asked
        .iter_mut()
        .filter(|asked| dropped.contains(&asked.input))
    {
        asked.comparison.sounds = None;
    }
}
