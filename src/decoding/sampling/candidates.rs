//! What may be drawn, and the arithmetic on it: selection instead of sorting, sums in blocks and
//! lanes, so that a whole vocabulary costs a fraction of a millisecond.

use std::cmp::Ordering;

/// Logits or candidates looked at together.
pub const BLOCK: usize = 128;
/// Independent accumulators, so that the compiler can use vector registers.
pub const LANES: usize = 16;
/// Nats below the likeliest at which an id is none: e^-87, the end of the normal f32s, and far
/// below what a draw of 53 bits can hit.
pub const REACH: f32 = 87.0;

/// An id that may be drawn.
#[derive(Debug, Clone, Copy)]
pub struct Candidate {
    pub id: u32,
    /// Its logit, later its probability, up to a factor.
    pub weight: f32,
}

impl Candidate {
    pub fn new(id: u32, logit: f32) -> Candidate {
        // Makes 0 of -0: they are equals, but not to `total_cmp`, the fast comparison.
        let weight = logit + 0.0;
        Candidate { id, weight }
    }
}

/// The id at which the sum of weights, in the order of ids, passes `wanted`.
pub fn pick(candidates: &[Candidate], wanted: f64) -> usize {
    let mut sum = 0.0;
    for block in candidates.chunks(BLOCK) {
        let before = sum;
        sum += block_total(block);
        if sum > wanted {
            return pick_in(block, wanted - before);
        }
    }
    pick_in(candidates, f64::INFINITY)
}

/// [`pick`] one by one; the last where rounding leaves the sum short.
fn pick_in(candidates: &[Candidate], wanted: f64) -> usize {
    let mut sum = 0.0;
    let passing = candidates.iter().find(|c| {
        sum += f64::from(c.weight);
        sum > wanted
    });
    passing.or(candidates.last()).map_or(0, |c| c.id as usize)
}

/// Likelier first; among equals the smaller id. No candidate is NaN.
pub fn likelier(a: &Candidate, b: &Candidate) -> Ordering {
    b.weight.total_cmp(&a.weight).then(a.id.cmp(&b.id))
}

/// The candidate that `n` others are likelier than.
pub fn nth_likeliest(candidates: &mut [Candidate], n: usize) -> Candidate {
    *candidates.select_nth_unstable_by(n, likelier).1
}

/// The candidate at which the sum of weights, likeliest first, reaches `wanted`: halving, so that
/// only the half in which it lies is looked at again.
pub fn last_to_reach(wanted: f64, candidates: &mut [Candidate]) -> Option<Candidate> {
    let (mut rest, mut sum) = (candidates, 0.0);
    while rest.len() > 1 {
        let half = rest.len() / 2;
        rest.select_nth_unstable_by(half, likelier);
        let (likely, unlikely) = rest.split_at_mut(half);
        let after = sum + total(likely);
        if after >= wanted {
            rest = likely;
        } else {
            (rest, sum) = (unlikely, after);
        }
    }
    rest.first().copied()
}

/// Sum of all weights, block by block.
pub fn total(candidates: &[Candidate]) -> f64 {
    candidates.chunks(BLOCK).map(block_total).sum()
}

/// Sum of the weights of a block; few enough for f32.
fn block_total(block: &[Candidate]) -> f64 {
    let mut lanes = [0.0f32; LANES];
    let rows = block.chunks_exact(LANES);
    let tail: f32 = rows.remainder().iter().map(|c| c.weight).sum();
    for row in rows {
        for (lane, candidate) in lanes.iter_mut().zip(row) {
            *lane += candidate.weight;
        }
    }
    f64::from(lanes.iter().sum::<f32>() + tail)
}

/// e^x for x from -[`REACH`] to 0, within 1e-5 of it. The standard library's is twice as slow here
/// and each system has its own, so that a seed would not give the same ids everywhere.
pub fn exp(x: f32) -> f32 {
    use std::f32::consts::{LN_2, LOG2_E};
    /// Added and taken away again, it rounds to a whole number: 1.5 * 2^23.
    const ROUND: f32 = 12_582_912.0;
    let x = x.max(-REACH) * LOG2_E;
    let doublings = x + ROUND;
    let y = (x - (doublings - ROUND)) * LN_2;
    // Taylor's series; |y| <= ln(2) / 2.
    let series = 1.0
        + y * (1.0
            + y * (1.0 / 2.0 + y * (1.0 / 6.0 + y * (1.0 / 24.0 + y * (1.0 / 120.0 + y / 720.0)))));
    let power = f32::from_bits((doublings.to_bits() << 23).wrapping_add(1.0f32.to_bits()));
    series * power
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_finds_its_place_in_the_sum() {
        let weights = [0.5, 0.25, 0.25].repeat(200);
        let candidates: Vec<Candidate> = (0..)
            .zip(weights)
            .map(|(id, weight)| Candidate { id, weight })
            .collect();
        let sum = total(&candidates);
        assert_eq!(sum, 200.0);
        assert_eq!(pick(&candidates, 0.0), 0);
        assert_eq!(pick(&candidates, 0.5), 1);
        assert_eq!(pick(&candidates, 150.0), 450);
        assert_eq!(pick(&candidates, 199.75), 599);
        assert_eq!(pick(&candidates, 500.0), 599);
    }

    #[test]
    fn exp_is_exp() {
        for i in 0..8_700 {
            let x = -0.01 * i as f32;
            let expected = f64::from(x).exp();
            assert!((f64::from(exp(x)) / expected - 1.0).abs() < 1e-5, "{x}");
        }
        assert_eq!(exp(0.0), 1.0);
    }
}
