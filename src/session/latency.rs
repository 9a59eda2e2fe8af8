//! How long the person waited, and what preparing answers early has cost.

use super::event::Latency;
use crate::ask::Millis;

/// How often an answer was prepared before its turn was certain, and what became of it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Speculation {
    /// Answers prepared.
    pub begun: u64,
    /// Those whose turn was over indeed.
    pub used: u64,
    /// Those that were thrown away, since the turn went on.
    pub discarded: u64,
    /// Those that could not be prepared, as when the scheduler was full; asked again at the end of the
    /// turn.
    pub failed: u64,
    /// Passes of the decoder for answers that were thrown away.
    pub wasted_steps: u64,
}

/// The latencies of many answers.
#[derive(Debug, Clone, Default)]
pub struct LatencySummary {
    /// The first of the process, which pays for cold caches and pages; in no percentile.
    pub cold: Option<Latency>,
    warm: Vec<Latency>,
}

/// Half of the answers came sooner than `p50`, 95 of 100 sooner than `p95`, 99 than `p99`.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct Percentiles {
    /// The median.
    pub p50: Millis,
    /// One answer in twenty took longer.
    pub p95: Millis,
    /// One answer in a hundred took longer.
    pub p99: Millis,
}

impl LatencySummary {
    /// Takes an answer's latency in.
    pub fn add(&mut self, latency: Latency) {
        match self.cold {
            None => self.cold = Some(latency),
            Some(_) => self.warm.push(latency),
        }
    }

    /// Answers taken in, the cold one included.
    pub fn answers(&self) -> usize {
        self.warm.len() + usize::from(self.cold.is_some())
    }

    /// Since the person fell silent; `None` where no warm answer followed a turn.
    pub fn speech_end(&self) -> Option<Percentiles> {
        self.percentiles(|latency| latency.speech_end)
    }

    /// Since it was certain that the turn is over; `None` where no warm answer followed a turn.
    pub fn turn_end(&self) -> Option<Percentiles> {
        self.percentiles(|latency| latency.turn_end)
    }

    /// Since the model was asked; `None` without a warm answer.
    pub fn request(&self) -> Option<Percentiles> {
        self.percentiles(|latency| Some(latency.request))
    }

    fn percentiles(&self, of: impl Fn(&Latency) -> Option<Millis>) -> Option<Percentiles> {
        let mut times: Vec<_> = self.warm.iter().filter_map(of).collect();
        times.sort_by(Millis::total_cmp);
        // The nearest rank: a time that was measured, and not one between two.
        let rank = |percent: usize| (times.len() * percent).div_ceil(100).max(1) - 1;
        let at = |percent| times.get(rank(percent)).copied();
        Some(Percentiles {
            p50: at(50)?,
            p95: at(95)?,
            p99: at(99)?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::event::AnswerId;

    fn latency(request: Millis) -> Latency {
        Latency {
            answer: AnswerId(1),
            speech_end: None,
            turn_end: Some(2.0 * request),
            request,
            speculative: false,
        }
    }

    #[test]
    fn percentiles_are_of_the_warm_answers() {
        let mut summary = LatencySummary::default();
        assert!(summary.request().is_none());
        summary.add(latency(900.0));
        assert!(summary.request().is_none() && summary.cold.is_some());
        (1..=200).for_each(|ms| summary.add(latency(f64::from(ms))));
        let of = |p50, p95, p99| Some(Percentiles { p50, p95, p99 });
        assert_eq!(summary.request(), of(100.0, 190.0, 198.0));
        assert_eq!(summary.turn_end(), of(200.0, 380.0, 396.0));
        assert_eq!((summary.speech_end(), summary.answers()), (None, 201));
    }

    #[test]
    fn one_warm_answer_is_its_own_percentiles() {
        let mut summary = LatencySummary::default();
        [5.0, 7.0].map(|ms| summary.add(latency(ms)));
        let seven = summary.request().expect("a warm one");
        assert_eq!((seven.p50, seven.p95, seven.p99), (7.0, 7.0, 7.0));
    }
}
