//! The steps of answers, added up by stream.

use serde::Serialize;

use super::drift::StepDrift;
use super::measure::{Energy, Spread, larger};

/// How often the candidate's likeliest id is the reference's.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Agreement {
    /// Ids that are the same.
    pub agreed: usize,
    /// Ids compared.
    pub of: usize,
}

impl Agreement {
    /// Between 0 and 1; 1 of nothing.
    pub fn share(self) -> f64 {
        if self.of == 0 {
            return 1.0;
        }
        self.agreed as f64 / self.of as f64
    }

    /// Both together.
    pub fn and(self, other: Agreement) -> Agreement {
        Agreement {
            agreed: self.agreed + other.agreed,
            of: self.of + other.of,
        }
    }
}

/// One stream at one step of an answer.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StreamStep {
    /// Counted from 0.
    pub step: usize,
    /// Whether the likeliest ids are the same.
    pub agreed: bool,
    /// `None` where a recording does not have the logits of the step.
    pub kl_nats: Option<f64>,
    /// The same.
    pub max_difference: Option<f32>,
}

/// The steps of one stream of one answer.
pub type StreamSteps = Vec<StreamStep>;

/// One stream, or several together, of one answer or several.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct StreamFigures {
    /// Ids that are the same, and ids compared.
    #[serde(flatten)]
    pub agreement: Agreement,
    /// Of the share of ids that are the same. Steps of one answer depend on each other, so of several
    /// answers it is the spread between them; of one answer, as if each id were drawn by itself.
    /// `None` of nothing.
    pub standard_error: Option<f64>,
    /// Over steps; `None` where no logits were compared.
    pub kl_nats: Option<Spread>,
    /// Of all logits; `None` where none were compared.
    pub max_difference: Option<f32>,
}

impl StreamFigures {
    /// Of the answers, each with the streams that count.
    pub fn of(answers: &[&[StreamSteps]]) -> StreamFigures {
        let by_answer: Vec<Agreement> = answers.iter().map(|streams| agreement(streams)).collect();
        let steps = || answers.iter().copied().flatten().flatten();
        let sum = by_answer
            .iter()
            .fold(Agreement::default(), |a, &b| a.and(b));
        StreamFigures {
            agreement: sum,
            standard_error: standard_error(sum, &by_answer),
            kl_nats: Spread::of(steps().filter_map(|step| step.kl_nats)),
            max_difference: steps()
                .filter_map(|step| step.max_difference)
                .reduce(larger),
        }
    }
}

fn agreement(streams: &[StreamSteps]) -> Agreement {
    let steps = || streams.iter().flatten();
    Agreement {
        agreed: steps().filter(|step| step.agreed).count(),
        of: steps().count(),
    }
}

/// Of the share of `sum`; clusters are answers (the ratio estimator's linearised variance).
fn standard_error(sum: Agreement, by_answer: &[Agreement]) -> Option<f64> {
    let (share, of) = (sum.share(), sum.of as f64);
    let counted: Vec<_> = by_answer.iter().filter(|answer| answer.of > 0).collect();
    let n = counted.len() as f64;
    match counted.len() {
        0 => None,
        1 => Some((share * (1.0 - share) / of).sqrt()),
        _ => {
            let residual = |a: &&Agreement| (a.agreed as f64 - share * a.of as f64).powi(2);
            let squares: f64 = counted.iter().copied().map(|a| residual(&a)).sum();
            Some((squares * n / (n - 1.0)).sqrt() / of)
        }
    }
}

/// Logits of one kind of stream, over all steps and streams they were compared at.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct LogitsDrift {
    /// Over all logits.
    pub max_difference: f32,
    /// Mean over steps and streams.
    pub kl_nats: f64,
}

/// Logits of both kinds of stream; `None` where none were compared.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize)]
pub struct HeadsDrift {
    /// The text stream.
    pub text: Option<LogitsDrift>,
    /// The audio streams.
    pub audio: Option<LogitsDrift>,
}

impl HeadsDrift {
    /// Of the streams of one answer, the text stream last.
    fn of(streams: &[StreamSteps]) -> HeadsDrift {
        let drift = |streams: &[StreamSteps]| {
            let figures = StreamFigures::of(&[streams]);
            Some(LogitsDrift {
                max_difference: figures.max_difference?,
                kl_nats: figures.kl_nats?.mean,
            })
        };
        let text = streams.len() - 1;
        HeadsDrift {
            audio: drift(&streams[..text]),
            text: drift(&streams[text..]),
        }
    }
}

/// Steps of one answer, the candidate made to follow the reference's ids.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TeacherForced {
    /// Passes compared, the one that ended the answer included.
    pub steps: usize,
    /// One a stream, the text stream last; none of none where a task lacks the stream.
    pub streams: Vec<StreamFigures>,
    /// Over all passes.
    pub logits: HeadsDrift,
    /// What the figures come from, one a stream.
    #[serde(skip)]
    pub by_step: Vec<StreamSteps>,
    /// Of all logits of each step: root of the difference's share of the signal.
    #[serde(skip)]
    pub errors: Vec<f64>,
}

/// Adds up the steps of one answer.
pub(crate) struct Tally {
    steps: usize,
    streams: Vec<StreamSteps>,
    errors: Vec<f64>,
    /// The logits behind the prompt, and all later ones.
    pub prompt: Logits,
    pub later: Logits,
}

/// Logits of one stage.
#[derive(Debug, Default)]
pub(crate) struct Logits {
    pub energy: Energy,
    /// Where the first are that are no finite numbers.
    pub not_finite: Option<String>,
}

impl Logits {
    fn add(&mut self, step: usize, drift: &StepDrift) {
        self.energy.join(drift.energy);
        let found = || Some(format!("step {step}, {}", drift.not_finite.as_ref()?));
        self.not_finite = self.not_finite.take().or_else(found);
    }
}

impl Tally {
    /// Of no step yet; `streams` with the text stream.
    pub fn new(streams: usize) -> Tally {
        Tally {
            steps: 0,
            streams: vec![Vec::new(); streams],
            errors: Vec::new(),
            prompt: Logits::default(),
            later: Logits::default(),
        }
    }

    pub fn push(&mut self, drift: &StepDrift) {
        for stream in &drift.streams {
            self.streams[stream.stream].push(StreamStep {
                step: self.steps,
                agreed: stream.agrees(),
                kl_nats: stream.logits.map(|logits| logits.kl_nats),
                max_difference: stream.logits.map(|logits| logits.max_difference),
            });
        }
        self.errors.push(drift.energy.error());
        match self.steps {
            0 => self.prompt.add(0, drift),
            step => self.later.add(step, drift),
        }
        self.steps += 1;
    }

    /// Logits of the steps so far.
    pub fn heads(&self) -> HeadsDrift {
        HeadsDrift::of(&self.streams)
    }

    /// All steps.
    pub fn finish(self) -> TeacherForced {
        TeacherForced {
            steps: self.steps,
            streams: self
                .streams
                .iter()
                .map(|steps| StreamFigures::of(&[std::slice::from_ref(steps)]))
                .collect(),
            logits: self.heads(),
            by_step: self.streams,
            errors: self.errors,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::drift::tests::drift;
    use super::*;

    #[test]
    fn steps_add_up_by_stream() {
        let (a, b) = (
            [0.0, 1.0, 0.0, 2.0, 0.0, 0.0],
            [0.0, 1.0, 0.0, 0.0, 0.0, 2.5],
        );
        let mut tally = Tally::new(3);
        tally.push(&drift(a, a, Some([0.0, 0.0, 1.0, 0.0])));
        tally.push(&drift(a, b, None));
        assert_eq!(tally.prompt.energy.error(), 0.0);
        assert!(tally.later.energy.error() > 0.0);
        let forced = tally.finish();
        let count = |s: &StreamFigures| (s.agreement.agreed, s.agreement.of);
        let counts: Vec<_> = forced.streams.iter().map(count).collect();
        assert_eq!((forced.steps, counts), (2, vec![(2, 2), (1, 2), (1, 1)]));
        let audio = forced.logits.audio.expect("audio");
        assert_eq!(audio.max_difference, 2.5);
        assert!(audio.kl_nats > 0.0);
        assert_eq!(forced.logits.text, Some(LogitsDrift::default()));
    }

    fn answer(agreed: usize, of: usize) -> Vec<StreamSteps> {
        let step = |step| StreamStep {
            step,
            agreed: step < agreed,
            kl_nats: None,
            max_difference: None,
        };
        vec![(0..of).map(step).collect()]
    }

    #[test]
    fn the_standard_error_is_that_between_answers() {
        let one = answer(80, 100);
        let alone = StreamFigures::of(&[&one]).standard_error.expect("ids");
        assert!((alone - 0.04).abs() < 1e-12, "{alone}");
        let (all, none) = (answer(100, 100), answer(0, 100));
        let both = StreamFigures::of(&[&all, &none]);
        // Two answers, one all right and one all wrong: 200 ids are only two draws.
        assert_eq!(
            (both.agreement.share(), both.standard_error),
            (0.5, Some(0.5))
        );
        assert_eq!(StreamFigures::of(&[]).standard_error, None);
    }
}
