//! Numbers about numbers: what a benchmark says of repeated measurements.

use serde::{Deserialize, Serialize};

/// Most groups that measurements are put into, in the order they were made, to see how they wander.
const MOST_GROUPS: usize = 10;
/// Standard error of a median over that of a mean, of normal measurements: sqrt(pi / 2).
const MEDIAN_OVER_MEAN: f64 = 1.2533;
/// Standard deviations from the median to p95, of normal measurements.
const TO_P95: f64 = 1.645;

/// A set of measurements, in whatever unit they had.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    pub n: usize,
    pub mean: f64,
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
    /// Standard error of p50; none of a single measurement, nor in reports of before 2026-12.
    #[serde(default)]
    pub p50_error: Option<f64>,
}

impl Stats {
    /// Of some measurements in the order they were made; `None` of none.
    pub fn of(mut values: Vec<f64>) -> Option<Stats> {
        if values.is_empty() {
            return None;
        }
        let p50_error = median_error(&values);
        values.sort_unstable_by(f64::total_cmp);
        Some(Stats {
            n: values.len(),
            mean: values.iter().sum::<f64>() / values.len() as f64,
            p50: quantile(&values, 0.50),
            p95: quantile(&values, 0.95),
            p99: quantile(&values, 0.99),
            p50_error,
        })
    }

    /// Standard error of the median; from the spread where the report does not tell.
    pub fn error(&self) -> Option<f64> {
        let by_spread = || {
            let deviation = (self.p95 - self.p50) / TO_P95;
            MEDIAN_OVER_MEAN * deviation / (self.n as f64).sqrt()
        };
        (self.n > 1).then(|| self.p50_error.unwrap_or_else(by_spread))
    }

    /// Groups that the error was found by.
    pub fn groups(&self) -> usize {
        self.n.min(MOST_GROUPS)
    }
}

/// How far the median would lie in another run, by how far it wanders within this one. Neighbours are
/// alike (a machine is slow for a while), so measurements by themselves would say too little.
fn median_error(values: &[f64]) -> Option<f64> {
    let groups = values.len().min(MOST_GROUPS);
    if groups < 2 {
        return None;
    }
    let bound = |i: usize| i * values.len() / groups;
    let medians: Vec<f64> = (0..groups)
        .map(|i| median(values[bound(i)..bound(i + 1)].to_vec()))
        .collect();
    let mean = medians.iter().sum::<f64>() / groups as f64;
    let squares: f64 = medians.iter().map(|m| (m - mean).powi(2)).sum();
    let error = (squares / (groups - 1) as f64 / groups as f64).sqrt();
    // A group of one is no median, so nothing has been smoothed.
    let single = values.len() == groups;
    Some(if single {
        MEDIAN_OVER_MEAN * error
    } else {
        error
    })
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_unstable_by(f64::total_cmp);
    quantile(&values, 0.5)
}

/// Linear between the two nearest of the sorted values.
fn quantile(sorted: &[f64], q: f64) -> f64 {
    let at = q * (sorted.len() - 1) as f64;
    let (low, high) = (at.floor() as usize, at.ceil() as usize);
    sorted[low] + (sorted[high] - sorted[low]) * at.fract()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_their_neighbours() {
        let stats = Stats::of((1..=101).rev().map(f64::from).collect()).expect("values");
        assert_eq!(
            (stats.n, stats.mean, stats.p50, stats.p95, stats.p99),
            (101, 51.0, 51.0, 96.0, 100.0)
        );
        let two = Stats::of(vec![2.0, 1.0]).expect("values");
        assert_eq!((two.p50, two.p95), (1.5, 1.95));
        assert_eq!(Stats::of(vec![]), None);
    }

    #[test]
    fn a_median_that_wanders_is_uncertain() {
        let steady = Stats::of((0..100).map(|i| 8.0 + f64::from(i % 2)).collect()).expect("values");
        let drifting = Stats::of((0..100).map(|i| 8.0 + f64::from(i / 50)).collect());
        let error = |stats: Stats| stats.error().expect("an error");
        assert!(error(steady) < 0.01 && error(drifting.expect("values")) > 0.1);
        assert_eq!(Stats::of(vec![1.0]).expect("a value").error(), None);
    }
}
