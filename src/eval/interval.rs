//! How sure a figure over a set is: the bootstrap.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};
use serde::{Deserialize, Serialize};

/// Sets that are drawn. The ends of the interval are then good to a tenth of its width.
const SETS: usize = 2000;
/// Of all sets this share is left out, half at either end.
const LEFT_OUT: f64 = 0.05;
/// The same draws on every machine.
const SEED: u64 = 0;

/// 95 % of sets like the one at hand would give a figure in here.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Interval {
    /// The lower end.
    pub low: f64,
    /// The upper end.
    pub high: f64,
}

/// The interval of a figure that is a sum over items by another sum over items: errors by words, right
/// answers by questions. As many items as there are are drawn, each any number of times. `None` where
/// there is nothing to divide by.
pub fn interval(items: &[(usize, usize)]) -> Option<Interval> {
    if items.iter().all(|(_, of)| *of == 0) {
        return None;
    }
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    let mut figures: Vec<f64> = (0..SETS).filter_map(|_| figure(items, &mut rng)).collect();
    figures.sort_unstable_by(f64::total_cmp);
    let at = |share: f64| figures[((figures.len() - 1) as f64 * share).round() as usize];
    Some(Interval {
        low: at(LEFT_OUT / 2.0),
        high: at(1.0 - LEFT_OUT / 2.0),
    })
}

/// The figure of one drawn set.
fn figure(items: &[(usize, usize)], rng: &mut ChaCha8Rng) -> Option<f64> {
    let n = items.len() as u64;
    let drawn = (0..n).map(|_| items[((u64::from(rng.next_u32()) * n) >> 32) as usize]);
    let (sum, of) = drawn.fold((0, 0), |(sum, of), item| (sum + item.0, of + item.1));
    (of > 0).then(|| sum as f64 / of as f64)
}

/// The middle one, or the mean of the two in the middle; `None` of none.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_unstable_by(f64::total_cmp);
    let middle = values.len() / 2;
    let upper = *values.get(middle)?;
    Some(match values.len() % 2 {
        0 => f64::midpoint(values[middle - 1], upper),
        _ => upper,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Ends of the normal approximation, p ± 1.96 sqrt(p (1 - p) / n), are this near.
    const NEAR: f64 = 0.01;

    #[test]
    fn the_interval_of_a_share_is_the_binomial_one() {
        let items: Vec<_> = (0..400).map(|i| (usize::from(i % 5 == 0), 1)).collect();
        let found = interval(&items).expect("an interval");
        let half = 1.96 * (0.2f64 * 0.8 / 400.0).sqrt();
        assert!((found.low - (0.2 - half)).abs() < NEAR, "{found:?}");
        assert!((found.high - (0.2 + half)).abs() < NEAR, "{found:?}");
        assert_eq!(interval(&items), Some(found), "the same every time");
    }

    #[test]
    fn nothing_is_known_of_nothing() {
        assert_eq!(interval(&[]), None);
        assert_eq!(interval(&[(1, 0)]), None);
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0]), Some(2.5));
    }
}
