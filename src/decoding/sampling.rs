//! From logits to an id.
//!
//! Order as the original's: top-k, temperature, top-p, one draw. Greedy (temperature 0 or top-k 1)
//! takes the first of the largest. Nothing is sorted: top-k and top-p find the last candidate they
//! keep by selection, and the candidates stay in the order of their ids, so that a draw depends on
//! the seed and the logits alone. Blocks and lanes make 152,000 logits a matter of microseconds.

mod candidates;

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

use candidates::{
    BLOCK, Candidate, LANES, REACH, exp, last_to_reach, likelier, nth_likeliest, pick, total,
};

/// How ids are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SamplingConfig {
    /// Divides the logits; 0 (and anything that is not above it) is greedy.
    pub temperature: f32,
    /// Likeliest ids to choose from, of equals those that come first; 0 is all, 1 is greedy.
    pub top_k: usize,
    /// Share of the probability to choose from: the fewest ids that reach it, at least one; 1 is all.
    pub top_p: f32,
    /// The same seed and logits give the same ids, on every machine.
    pub seed: u64,
}

impl SamplingConfig {
    /// Always the likeliest id.
    pub fn greedy() -> SamplingConfig {
        SamplingConfig {
            temperature: 0.0,
            top_k: 0,
            top_p: 1.0,
            seed: 0,
        }
    }

    fn is_greedy(&self) -> bool {
        // Written so that a temperature of NaN is greedy too.
        let warm = self.temperature > 0.0;
        !warm || self.top_k == 1
    }
}

/// Chooses the ids of one stream. Its buffers are kept, so that no step but the first allocates.
#[derive(Debug)]
pub struct Sampler {
    config: SamplingConfig,
    rng: ChaCha8Rng,
    /// The largest logit of each block.
    maxima: Vec<f32>,
    /// In the order of their ids.
    candidates: Vec<Candidate>,
    /// A copy that selection may reorder.
    ranked: Vec<Candidate>,
}

impl Sampler {
    /// Each `stream` draws its own numbers from the seed.
    pub fn new(config: &SamplingConfig, stream: usize) -> Sampler {
        let mut rng = ChaCha8Rng::seed_from_u64(config.seed);
        rng.set_stream(stream as u64);
        Sampler {
            config: *config,
            rng,
            maxima: Vec::new(),
            candidates: Vec::new(),
            ranked: Vec::new(),
        }
    }

    /// Whether it always takes the likeliest id.
    pub fn is_greedy(&self) -> bool {
        self.config.is_greedy()
    }

    /// The id chosen from `logits`, one a vocabulary entry. NaN never wins, an infinite logit always
    /// does, and logits with nothing above minus infinity give id 0.
    pub fn sample(&mut self, logits: &[f32]) -> usize {
        if self.config.is_greedy() {
            return argmax(logits);
        }
        self.maxima.clear();
        self.maxima.extend(logits.chunks(BLOCK).map(largest));
        let likeliest = largest(&self.maxima);
        if !likeliest.is_finite() {
            return argmax(logits);
        }
        self.gather(logits, likeliest);
        self.keep_top_k();
        self.weigh(likeliest);
        self.keep_top_p();
        self.draw()
    }

    /// Candidates: the ids whose logit is high enough for them to be drawn at all.
    fn gather(&mut self, logits: &[f32], likeliest: f32) {
        let reach = likeliest - REACH * self.config.temperature;
        let floor = reach.max(self.top_k_floor()).max(f32::MIN);
        self.candidates.clear();
        for (block, logits) in logits.chunks(BLOCK).enumerate() {
            if self.maxima[block] >= floor {
                let ids = (block * BLOCK) as u32..;
                let all = ids
                    .zip(logits)
                    .map(|(id, &logit)| Candidate::new(id, logit));
                self.candidates.extend(all);
            }
        }
        self.candidates.retain(|c| c.weight >= floor);
    }

    /// A logit that at least k ids reach: each of the k highest blocks has one. Minus infinity
    /// where k does not matter or is beyond the blocks.
    fn top_k_floor(&mut self) -> f32 {
        let k = self.config.top_k;
        if k == 0 || k > self.maxima.len() {
            return f32::NEG_INFINITY;
        }
        let blocks = (0..).zip(&self.maxima);
        self.ranked.clear();
        self.ranked
            .extend(blocks.map(|(id, &largest)| Candidate::new(id, largest)));
        nth_likeliest(&mut self.ranked, k - 1).weight
    }

    fn keep_top_k(&mut self) {
        let k = self.config.top_k;
        if k > 0 && k < self.candidates.len() {
            self.ranked.clone_from(&self.candidates);
            let last = nth_likeliest(&mut self.ranked, k - 1);
            self.keep_down_to(&last);
        }
    }

    /// Logits to probabilities, up to a factor: the likeliest weighs 1.
    fn weigh(&mut self, likeliest: f32) {
        let temperature = self.config.temperature;
        for candidate in &mut self.candidates {
            candidate.weight = exp((candidate.weight - likeliest) / temperature);
        }
    }

    fn keep_top_p(&mut self) {
        let top_p = f64::from(self.config.top_p).max(0.0);
        if self.config.top_p < 1.0 {
            let total = total(&self.candidates);
            // All that is less likely than this is together less than what may be left out.
            let floor = (1.0 - top_p) * total / self.candidates.len() as f64;
            let likely = |c: &&Candidate| f64::from(c.weight) >= floor;
            self.ranked.clear();
            self.ranked.extend(self.candidates.iter().filter(likely));
            if let Some(last) = last_to_reach(top_p * total, &mut self.ranked) {
                self.keep_down_to(&last);
            }
        }
    }

    fn keep_down_to(&mut self, last: &Candidate) {
        self.candidates.retain(|c| likelier(c, last).is_le());
    }

    fn draw(&mut self) -> usize {
        // 53 bits, in [0, 1).
        let uniform = (self.rng.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
        pick(&self.candidates, uniform * total(&self.candidates))
    }
}

/// The largest number; minus infinity if there is none.
fn largest(logits: &[f32]) -> f32 {
    // A comparison with NaN is false, so that the other side stays.
    let larger = |a: f32, b: f32| if b > a { b } else { a };
    let mut lanes = [f32::NEG_INFINITY; LANES];
    let rows = logits.chunks_exact(LANES);
    let tail = rows.remainder();
    for row in rows {
        for (lane, &logit) in lanes.iter_mut().zip(row) {
            *lane = larger(*lane, logit);
        }
    }
    lanes
        .iter()
        .chain(tail)
        .copied()
        .fold(f32::NEG_INFINITY, larger)
}

/// Index of the first of the largest; 0 if nothing is above minus infinity.
pub(crate) fn argmax(logits: &[f32]) -> usize {
    let (mut best, mut at) = (f32::NEG_INFINITY, 0);
    for (block, logits) in logits.chunks(BLOCK).enumerate() {
        let largest = largest(logits);
        if largest > best {
            (best, at) = (largest, block * BLOCK);
        }
    }
    let within = logits.iter().skip(at).position(|&logit| logit == best);
    at + within.unwrap_or(0)
}

/// Whether none is infinite or not a number. Without a branch, so that it runs in vector registers.
pub(crate) fn all_finite(logits: &[f32]) -> bool {
    const EXPONENT: u32 = 0x7f80_0000;
    let bad = |x: &f32| u32::from(x.to_bits() & EXPONENT == EXPONENT);
    logits
        .chunks(1024)
        .all(|chunk| chunk.iter().map(bad).fold(0, |any, bad| any | bad) == 0)
}

#[cfg(test)]
mod tests;
