//! From logits to an id.
//!
//! Order as the original's: top-k, temperature, top-p, one draw. Greedy (temperature 0 or top-k 1)
//! takes the first of the largest. The vocabulary is never sorted: top-k selects, and top-p sorts
//! only what can matter.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// How ids are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SamplingConfig {
    /// 0 is greedy.
    pub temperature: f32,
    /// Likeliest ids to choose from; 0 is all.
    pub top_k: usize,
    /// Share of the probability to choose from; 1 is all.
    pub top_p: f32,
    pub seed: u64,
}

impl SamplingConfig {
    /// Always the likeliest id.
    pub fn greedy() -> SamplingConfig {
        SamplingConfig { temperature: 0.0, top_k: 0, top_p: 1.0, seed: 0 }
    }
}

/// Chooses the ids of one stream.
#[derive(Debug)]
pub struct Sampler {
    config: SamplingConfig,
    rng: ChaCha8Rng,
    /// Candidates (id, logit or weight); kept, so that no step allocates.
    candidates: Vec<(u32, f32)>,
}

impl Sampler {
    /// Each `stream` draws its own numbers from the seed.
    pub fn new(config: &SamplingConfig, stream: usize) -> Sampler {
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        rng.set_stream(stream as u64);
        Sampler { config: *config, rng, candidates: Vec::new() }
    }

    /// The id chosen from `logits`. NaN never wins; logits with nothing else give id 0.
    pub fn sample(&mut self, logits: &[f32]) -> usize {
        if self.config.temperature <= 0.0 || self.config.top_k == 1 {
            return argmax(logits);
        }
        self.gather(logits);
        self.weigh();
        if self.config.top_p < 1.0 {
            self.keep_top_p();
        }
        self.draw().unwrap_or_else(|| argmax(logits))
    }

    /// Candidates: all finite logits, or the k largest.
    fn gather(&mut self, logits: &[f32]) {
        let finite = |&(_, logit): &(usize, &f32)| logit.is_finite();
        let all = logits.iter().enumerate().filter(finite).map(|(id, &logit)| (id as u32, logit));
        self.candidates.clear();
        self.candidates.extend(all);
        let k = self.config.top_k;
        if k > 0 && k < self.candidates.len() {
            self.candidates.select_nth_unstable_by(k - 1, likelier);
            self.candidates.truncate(k);
            // Selection leaves an order of its own; a draw must not depend on it.
            self.candidates.sort_unstable_by_key(|&(id, _)| id);
        }
    }

    /// Logits to unnormalised probabilities.
    fn weigh(&mut self) {
        let largest = self.candidates.iter().map(|c| c.1).fold(f32::NEG_INFINITY, f32::max);
        for (_, logit) in &mut self.candidates {
            *logit = ((*logit - largest) / self.config.temperature).exp();
        }
    }

    /// The smallest set of likeliest candidates that reaches the share.
    fn keep_top_p(&mut self) {
        let total: f32 = self.candidates.iter().map(|c| c.1).sum();
        let wanted = self.config.top_p * total;
        // What is this unlikely cannot reach the share even if all candidates were like it.
        let floor = (total - wanted) / self.candidates.len() as f32;
        self.candidates.retain(|c| c.1 >= floor);
        self.candidates.sort_unstable_by(likelier);
        let mut sum = 0.0;
        let reached = self.candidates.iter().position(|c| {
            sum += c.1;
            sum >= wanted
        });
        self.candidates.truncate(reached.map_or(usize::MAX, |last| last + 1));
    }

    fn draw(&mut self) -> Option<usize> {
        let total: f32 = self.candidates.iter().map(|c| c.1).sum();
        let uniform = (self.rng.next_u32() >> 8) as f32 / (1u32 << 24) as f32;
        let mut left = uniform * total;
        for &(id, weight) in &self.candidates {
            left -= weight;
            if left < 0.0 {
                return Some(id as usize);
            }
        }
        self.candidates.last().map(|c| c.0 as usize)
    }
}

/// Larger first; among equals the smaller id.
fn likelier(a: &(u32, f32), b: &(u32, f32)) -> std::cmp::Ordering {
    b.1.total_cmp(&a.1).then(a.0.cmp(&b.0))
}

/// The first of the largest; in lanes, so that 152,000 logits take microseconds.
fn argmax(logits: &[f32]) -> usize {
    const LANES: usize = 16;
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let chunks = logits.chunks_exact(LANES);
    let tail = chunks.remainder();
    for chunk in chunks {
        for (lane, &logit) in lanes.iter_mut().zip(chunk) {
            *lane = if logit > *lane { logit } else { *lane };
        }
    }
    let largest = lanes.iter().chain(tail).fold(f32::NEG_INFINITY, |a, &b| if b > a { b } else { a });
    logits.iter().position(|&logit| logit == largest).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sampler(temperature: f32, top_k: usize, top_p: f32) -> Sampler {
        Sampler::new(&SamplingConfig { temperature, top_k, top_p, seed: 3 }, 0)
    }

    fn shares(sampler: &mut Sampler, logits: &[f32]) -> Vec<f64> {
        let n = 20_000;
        let mut counts = vec![0.0; logits.len()];
        (0..n).for_each(|_| counts[sampler.sample(logits)] += 1.0 / f64::from(n));
        counts
    }

    #[test]
    fn greedy_takes_the_first_of_the_largest() {
        let mut logits = vec![0.0; 1000];
        logits[700] = 2.0;
        logits[901] = 2.0;
        assert_eq!(sampler(0.0, 0, 1.0).sample(&logits), 700);
        assert_eq!(sampler(1.0, 1, 1.0).sample(&logits), 700);
        logits[3] = f32::NAN;
        assert_eq!(sampler(0.0, 0, 1.0).sample(&logits), 700);
    }

    #[test]
    fn nothing_finite_is_no_panic() {
        for logits in [vec![], vec![f32::NAN; 5], vec![f32::NEG_INFINITY; 40]] {
            assert_eq!(sampler(0.0, 0, 1.0).sample(&logits), 0);
            assert_eq!(sampler(1.0, 3, 0.5).sample(&logits), 0);
        }
    }

    #[test]
    fn temperature_shapes_the_shares() {
        let logits = [0.0, 1.0, 2.0];
        for temperature in [0.5, 1.0, 2.0] {
            let weights: Vec<f64> = logits.iter().map(|l| f64::from(l / temperature).exp()).collect();
            let total: f64 = weights.iter().sum();
            let found = shares(&mut sampler(temperature, 0, 1.0), &logits);
            for (share, weight) in found.iter().zip(&weights) {
                assert!((share - weight / total).abs() < 0.015, "{found:?}");
            }
        }
    }

    #[test]
    fn top_k_keeps_the_k_likeliest() {
        let found = shares(&mut sampler(1.0, 2, 1.0), &[1.0, 3.0, 0.0, 3.0, 2.9]);
        assert!(found[1] > 0.45 && found[3] > 0.45);
        assert_eq!(found[0] + found[2] + found[4], 0.0);
    }

    #[test]
    fn top_p_keeps_the_smallest_set_that_reaches_the_share() {
        // Probabilities 0.5, 0.3, 0.15, 0.05.
        let logits: Vec<f32> = [0.5f32, 0.3, 0.15, 0.05].iter().map(|p| p.ln()).collect();
        let found = shares(&mut sampler(1.0, 0, 0.7), &logits);
        assert!((found[0] - 0.625).abs() < 0.015 && (found[1] - 0.375).abs() < 0.015, "{found:?}");
        assert_eq!(found[2] + found[3], 0.0);
    }

    #[test]
    fn a_seed_repeats_and_streams_differ() {
        let config = SamplingConfig { temperature: 1.0, top_k: 0, top_p: 1.0, seed: 11 };
        let logits = vec![0.0; 64];
        let run = |stream| -> Vec<usize> {
            let mut sampler = Sampler::new(&config, stream);
            (0..20).map(|_| sampler.sample(&logits)).collect()
        };
        assert_eq!(run(0), run(0));
        assert_ne!(run(0), run(1));
    }
}
