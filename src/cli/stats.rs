//! Numbers about numbers: what a benchmark says of repeated measurements.

use serde::{Deserialize, Serialize};

/// A set of measurements, in whatever unit they had.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    pub n: usize,
    pub mean: f64,
    pub p50: f64,
    pub p95: f64,
    pub p99: f64,
}

impl Stats {
    /// Of some measurements; `None` of none.
    pub fn of(mut values: Vec<f64>) -> Option<Stats> {
        if values.is_empty() {
            return None;
        }
        values.sort_unstable_by(f64::total_cmp);
        Some(Stats {
            n: values.len(),
            mean: values.iter().sum::<f64>() / values.len() as f64,
            p50: quantile(&values, 0.50),
            p95: quantile(&values, 0.95),
            p99: quantile(&values, 0.99),
        })
    }
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
}
