//! The codec's noise, drawn by position.
//!
//! A draw depends on (seed, block, absolute position) alone, so any cutting of a clip into chunks
//! hears the same noise, and the same seed the same sound. Each draw is a hash of its counter turned
//! normal by Box-Muller; a pair of neighbours shares one hash.

use std::f32::consts::TAU;

/// What a noise block adds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noise {
    /// Nothing: not the model's sound, but comparable to the bit.
    Zero,
    /// Standard normal draws from this seed.
    Seeded(u64),
}

impl Noise {
    /// Fills `out` with the draws of `block` from position `start` on; positions before 0 get 0.
    pub fn fill(&self, block: usize, start: i64, out: &mut [f32]) {
        let Noise::Seeded(seed) = *self else {
            out.fill(0.0);
            return;
        };
        let key = mix(seed ^ mix(block as u64 + 1));
        let mut pair = [0.0; 2];
        for (i, draw) in out.iter_mut().enumerate() {
            let position = start + i as i64;
            // A pair of neighbours is drawn at its first half, or where the chunk begins.
            if i == 0 || position.rem_euclid(2) == 0 {
                pair = normals(key, position.div_euclid(2));
            }
            *draw = if position < 0 {
                0.0
            } else {
                pair[position.rem_euclid(2) as usize]
            };
        }
    }
}

/// Two independent standard normal numbers for a counter.
fn normals(key: u64, counter: i64) -> [f32; 2] {
    let hash = mix(key.wrapping_add((counter as u64).wrapping_mul(0x9E37_79B9_7F4A_7C15)));
    // The upper half in (0, 1], so that the logarithm is finite; the lower in [0, 1).
    let radius = (((hash >> 40) + 1) as f32 / (1u32 << 24) as f32).ln();
    let (sin, cos) = ((hash & 0xFF_FFFF) as f32 / (1u32 << 24) as f32 * TAU).sin_cos();
    let radius = (-2.0 * radius).sqrt();
    [radius * cos, radius * sin]
}

/// A 64-bit finaliser (SplitMix64): every input bit moves every output bit.
fn mix(mut x: u64) -> u64 {
    x = (x ^ (x >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn draws(noise: Noise, block: usize, start: i64, n: usize) -> Vec<f32> {
        let mut out = vec![9.0; n];
        noise.fill(block, start, &mut out);
        out
    }

    #[test]
    fn draws_are_standard_normal() {
        let x = draws(Noise::Seeded(1), 0, 0, 200_000);
        let n = x.len() as f64;
        let moment = |k: i32| x.iter().map(|&v| f64::from(v).powi(k)).sum::<f64>() / n;
        assert!(moment(1).abs() < 0.01);
        assert!((moment(2) - 1.0).abs() < 0.01);
        assert!(moment(3).abs() < 0.03);
        assert!((moment(4) - 3.0).abs() < 0.08);
        let neighbours = x.windows(2).map(|w| f64::from(w[0] * w[1])).sum::<f64>() / n;
        assert!(neighbours.abs() < 0.01);
    }

    #[test]
    fn any_cutting_gives_the_same_draws() {
        let whole = draws(Noise::Seeded(7), 2, -5, 1000);
        for cut in [1, 2, 3, 64, 501] {
            let mut pieces = draws(Noise::Seeded(7), 2, -5, cut);
            pieces.extend(draws(Noise::Seeded(7), 2, cut as i64 - 5, 1000 - cut));
            assert_eq!(pieces, whole);
        }
    }

    #[test]
    fn before_the_clip_there_is_no_noise() {
        assert_eq!(draws(Noise::Seeded(7), 0, -3, 3), [0.0; 3]);
    }

    #[test]
    fn seeds_and_blocks_differ() {
        let base = draws(Noise::Seeded(1), 0, 0, 8);
        assert_ne!(base, draws(Noise::Seeded(2), 0, 0, 8));
        assert_ne!(base, draws(Noise::Seeded(1), 1, 0, 8));
        assert_eq!(draws(Noise::Zero, 0, 0, 8), [0.0; 8]);
    }
}
