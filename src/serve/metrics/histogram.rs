//! Counts of numbers by size, as Prometheus takes them.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// Parts of 1 that the sum is kept in.
const PARTS: f64 = 1e6;

/// Numbers from 0, counted by size.
pub struct Histogram {
    /// Upper ends, ascending.
    bounds: &'static [f64],
    /// One more than bounds; each number is counted once.
    counts: Vec<AtomicU64>,
    /// In millionths.
    sum: AtomicU64,
}

impl Histogram {
    /// Nothing counted yet.
    pub fn new(bounds: &'static [f64]) -> Histogram {
        Histogram {
            bounds,
            counts: (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect(),
            sum: AtomicU64::new(0),
        }
    }

    /// Counts a number.
    pub fn observe(&self, number: f64) {
        let at = self.bounds.partition_point(|&bound| bound < number);
        self.counts[at].fetch_add(1, Relaxed);
        self.sum.fetch_add((number * PARTS) as u64, Relaxed);
    }

    /// Its lines in Prometheus' text format.
    pub fn write(&self, text: &mut String, name: &str, help: &str) {
        let _ = write!(text, "# HELP {name} {help}\n# TYPE {name} histogram\n");
        let mut below = 0;
        let ends = self
            .bounds
            .iter()
            .map(f64::to_string)
            .chain(["+Inf".into()]);
        for (end, count) in ends.zip(&self.counts) {
            below += count.load(Relaxed);
            let _ = writeln!(text, "{name}_bucket{{le=\"{end}\"}} {below}");
        }
        let sum = self.sum.load(Relaxed) as f64 / PARTS;
        let _ = writeln!(text, "{name}_sum {sum}\n{name}_count {below}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_number_is_counted_in_every_bucket_that_reaches_it() {
        let histogram = Histogram::new(&[0.1, 1.0]);
        [0.1, 0.25, 7.0]
            .iter()
            .for_each(|&number| histogram.observe(number));
        let mut text = String::new();
        histogram.write(&mut text, "x", "An x.");
        let lines = "# HELP x An x.\n# TYPE x histogram\nx_bucket{le=\"0.1\"} 1\nx_bucket{le=\"1\"} 2\n\
                     x_bucket{le=\"+Inf\"} 3\nx_sum 7.35\nx_count 3\n";
        assert_eq!(text, lines);
    }
}
