//! How far two arrays are apart. Pure numbers; what is not a number stays one, so that no measure
//! hides it.

use serde::Serialize;

/// The largest absolute difference; NaN where a side is NaN. Equal infinities do not differ.
pub fn max_difference(reference: &[f32], candidate: &[f32]) -> f32 {
    debug_assert_eq!(reference.len(), candidate.len());
    reference
        .iter()
        .zip(candidate)
        .filter(|(a, b)| a != b)
        .map(|(a, b)| (a - b).abs())
        .fold(0.0, larger)
}

/// The larger of two, NaN before all: `f32::max` would drop it.
pub fn larger(a: f32, b: f32) -> f32 {
    if a > b || a.is_nan() { a } else { b }
}

/// Cosine of the angle between two arrays taken as vectors; 1 for two of nothing but zeros.
pub fn cosine(reference: &[f32], candidate: &[f32]) -> f64 {
    let dot = |a: &[f32], b: &[f32]| -> f64 {
        a.iter()
            .zip(b)
            .map(|(&a, &b)| f64::from(a) * f64::from(b))
            .sum()
    };
    if reference == candidate {
        return 1.0;
    }
    let norms = (dot(reference, reference) * dot(candidate, candidate)).sqrt();
    dot(reference, candidate) / norms.max(f64::MIN_POSITIVE)
}

/// Kullback-Leibler divergence of the candidate's distribution from the reference's, in nats: what
/// it costs to expect the one where the other holds. Both as logits over one vocabulary.
pub fn kl_nats(reference: &[f32], candidate: &[f32]) -> f64 {
    debug_assert_eq!(reference.len(), candidate.len());
    if reference == candidate {
        return 0.0;
    }
    let (log_p, log_q) = (log_total(reference), log_total(candidate));
    let kl: f64 = reference
        .iter()
        .zip(candidate)
        .map(|(&a, &b)| (f64::from(a) - log_p, f64::from(b) - log_q))
        .filter(|(a, _)| *a != f64::NEG_INFINITY)
        .map(|(a, b)| a.exp() * (a - b))
        .sum();
    // Rounding can leave a tiny negative; the divergence has none.
    if kl < 0.0 { 0.0 } else { kl }
}

/// log of the sum of exponentials.
fn log_total(logits: &[f32]) -> f64 {
    let largest = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let total: f64 = logits.iter().map(|&x| (f64::from(x) - largest).exp()).sum();
    largest + total.ln()
}

/// Energy of a signal and of its difference from another, added up piece by piece.
#[derive(Debug, Clone, Copy, Default)]
pub struct Energy {
    signal: f64,
    noise: f64,
}

impl Energy {
    /// Of one pair of arrays.
    pub fn of(reference: &[f32], candidate: &[f32]) -> Energy {
        let mut energy = Energy::default();
        energy.add(reference, candidate);
        energy
    }

    /// Adds a pair of arrays. Equal infinities do not differ.
    pub fn add(&mut self, reference: &[f32], candidate: &[f32]) {
        debug_assert_eq!(reference.len(), candidate.len());
        for (&a, &b) in reference.iter().zip(candidate) {
            if a.is_finite() || a != b {
                self.signal += f64::from(a) * f64::from(a);
            }
            if a != b {
                self.noise += f64::from(a - b) * f64::from(a - b);
            }
        }
    }

    /// Adds what was added up elsewhere.
    pub fn join(&mut self, other: Energy) {
        self.signal += other.signal;
        self.noise += other.noise;
    }

    /// Root of the difference's share of the signal: 0 where nothing differs, 1 where the difference
    /// is as large as the signal.
    pub fn error(self) -> f64 {
        match self.noise == 0.0 {
            true => 0.0,
            false => (self.noise / self.signal).sqrt(),
        }
    }

    /// Signal-to-noise ratio in decibels, the difference taken as noise; `None` where there is none.
    pub fn snr_db(self) -> Option<f64> {
        (self.noise != 0.0).then(|| 10.0 * (self.signal / self.noise).log10())
    }
}

/// How a figure is spread over steps.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Spread {
    /// Of all.
    pub mean: f64,
    /// Half of them are no larger.
    pub median: f64,
    /// 99 of 100 are no larger.
    pub p99: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of some figures; `None` of none. One that is not a number makes mean and largest none, too.
    pub fn of(figures: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut sorted: Vec<f64> = figures.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (n, max) = (sorted.len(), *sorted.last()?);
        let nearest = |share: f64| sorted[((n as f64 * share).ceil() as usize).clamp(1, n) - 1];
        Some(Spread {
            mean: sorted.iter().sum::<f64>() / n as f64,
            median: nearest(0.5),
            p99: nearest(0.99),
            max,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_array_is_no_way_from_itself() {
        let x = [1.0, -2.0, f32::NEG_INFINITY, 0.5];
        assert_eq!((max_difference(&x, &x), kl_nats(&x, &x)), (0.0, 0.0));
        assert_eq!(cosine(&x, &x), 1.0);
        let energy = Energy::of(&x, &x);
        assert_eq!((energy.error(), energy.snr_db()), (0.0, None));
        assert_eq!(cosine(&[0.0; 3], &[0.0; 3]), 1.0);
    }

    #[test]
    fn differences_are_told() {
        assert_eq!(max_difference(&[1.0, 2.0], &[1.5, 1.0]), 1.0);
        assert_eq!(cosine(&[1.0, 0.0], &[0.0, 2.0]), 0.0);
        let mut energy = Energy::of(&[1.0], &[0.9]);
        energy.add(&[0.0], &[0.0]);
        let snr = energy.snr_db().expect("they differ");
        assert!((snr - 20.0).abs() < 1e-5, "{snr}");
        assert!((energy.error() - 0.1).abs() < 1e-7, "{}", energy.error());
    }

    #[test]
    fn not_a_number_is_not_hidden() {
        assert!(max_difference(&[1.0, 2.0, 3.0], &[1.0, f32::NAN, 9.0]).is_nan());
        let broken = [1.0, f32::NAN];
        assert!(max_difference(&broken, &broken).is_nan() && kl_nats(&broken, &broken).is_nan());
        assert!(cosine(&broken, &broken).is_nan() && Energy::of(&broken, &broken).error().is_nan());
        assert!(kl_nats(&[1.0, 2.0], &[f32::NAN, 2.0]).is_nan());
        assert!(Energy::of(&[1.0, 2.0], &[f32::NAN, 2.0]).error().is_nan());
        let spread = Spread::of([1.0, f64::NAN, 2.0]).expect("figures");
        assert!(spread.mean.is_nan() && spread.max.is_nan());
    }

    #[test]
    fn kl_is_that_of_the_two_distributions() {
        // p = (1/2, 1/2), q = (1/4, 3/4); a constant added to the logits changes nothing.
        let (p, q) = ([5.0, 5.0], [0.25f32.ln(), 0.75f32.ln()]);
        let expected = 0.5 * 2f64.ln() + 0.5 * (2.0f64 / 3.0).ln();
        assert!((kl_nats(&p, &q) - expected).abs() < 1e-7);
        assert!(
            kl_nats(&[0.0, f32::NEG_INFINITY], &[0.0, 0.0]).is_finite(),
            "an id the reference never says costs nothing"
        );
    }

    #[test]
    fn quantiles_are_figures_that_came() {
        let spread = Spread::of((1..=200).rev().map(f64::from)).expect("figures");
        let found = [spread.mean, spread.median, spread.p99, spread.max];
        assert_eq!(found, [100.5, 100.0, 198.0, 200.0]);
        assert_eq!(Spread::of([]), None);
    }
}
