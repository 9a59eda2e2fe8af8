use super::*;

fn sampler(temperature: f32, top_k: usize, top_p: f32) -> Sampler {
    let seed = 3;
    let config = SamplingConfig {
        temperature,
        top_k,
        top_p,
        seed,
    };
    Sampler::new(&config, 0)
}

fn shares(sampler: &mut Sampler, logits: &[f32]) -> Vec<f64> {
    let n = 20_000;
    let mut counts = vec![0.0; logits.len()];
    (0..n).for_each(|_| counts[sampler.sample(logits)] += 1.0 / f64::from(n));
    counts
}

fn noise(n: usize, scale: f32) -> Vec<f32> {
    let mut noise = vec![0.0; n];
    crate::decoding::noise::Noise::Seeded(5).fill(0, 0, &mut noise);
    noise.iter().map(|x| x * scale).collect()
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
    for logits in [vec![], vec![f32::NAN; 5], vec![f32::NEG_INFINITY; 400]] {
        for config in [(0.0, 0, 1.0), (1.0, 0, 1.0), (1.0, 3, 0.5), (1.0, 0, 0.5)] {
            let mut sampler = sampler(config.0, config.1, config.2);
            assert_eq!(sampler.sample(&logits), 0, "{config:?}");
        }
    }
}

#[test]
fn what_is_not_finite_is_drawn_only_if_it_is_certain() {
    let mut logits = vec![f32::NAN; 1000];
    (logits[300], logits[301], logits[900]) = (1.0, 1.0, f32::NEG_INFINITY);
    let found = shares(&mut sampler(1e30, 0, 1.0), &logits);
    assert!((found[300] - 0.5).abs() < 0.015 && (found[301] - 0.5).abs() < 0.015);
    logits[700] = f32::INFINITY;
    assert_eq!(sampler(1.0, 0, 1.0).sample(&logits), 700);
    assert_eq!(sampler(0.0, 0, 1.0).sample(&logits), 700);
}

#[test]
fn extreme_settings_still_choose() {
    let logits = noise(1000, 1.0);
    let likeliest = argmax(&logits);
    for temperature in [f32::NAN, -1.0, -0.0, 1e-45, 1e-30] {
        assert_eq!(
            sampler(temperature, 0, 1.0).sample(&logits),
            likeliest,
            "{temperature}"
        );
    }
    for temperature in [f32::INFINITY, f32::MAX] {
        assert!(sampler(temperature, 0, 1.0).sample(&logits) < 1000);
    }
    for top_p in [0.0, -1.0, 1e-30] {
        assert_eq!(sampler(1.0, 0, top_p).sample(&logits), likeliest, "{top_p}");
        assert_eq!(sampler(1.0, 0, top_p).sample(&[2.0; 300]), 0, "{top_p}");
    }
    for top_p in [f32::NAN, 2.0] {
        assert!(sampler(1.0, usize::MAX, top_p).sample(&logits) < 1000);
    }
    let wide = [f32::MAX, f32::MIN, f32::MAX];
    assert_ne!(sampler(1.0, 0, 1.0).sample(&wide), 1);
}

/// The same by the definition: sort everything, no blocks, no floors.
fn kept_by_definition(logits: &[f32], config: &SamplingConfig) -> Vec<usize> {
    let mut ids: Vec<usize> = (0..logits.len()).collect();
    ids.sort_by(|&a, &b| logits[b].partial_cmp(&logits[a]).unwrap());
    if config.top_k > 0 {
        ids.truncate(config.top_k);
    }
    let weight = |&id: &usize| f64::from((logits[id] - logits[ids[0]]) / config.temperature).exp();
    let total: f64 = ids.iter().map(weight).sum();
    let mut sum = 0.0;
    let reached = ids.iter().position(|id| {
        sum += weight(id);
        sum >= f64::from(config.top_p) * total
    });
    ids.truncate(reached.map_or(ids.len(), |last| last + 1));
    ids.sort_unstable();
    ids
}

#[test]
fn shortcuts_keep_what_the_definition_keeps() {
    let settings = [
        (0, 0.35),
        (3, 1.0),
        (7, 0.5),
        (40, 0.9),
        (900, 0.8),
        (0, 0.999),
    ];
    for (n, scale) in [(1, 1.0), (129, 0.0), (4_160, 2.0), (20_000, 1.0)] {
        let logits = noise(n, scale);
        for (top_k, top_p) in settings {
            let mut sampler = sampler(0.8, top_k, top_p);
            sampler.sample(&logits);
            let kept: Vec<usize> = sampler.candidates.iter().map(|c| c.id as usize).collect();
            let expected = kept_by_definition(&logits, &sampler.config);
            assert_eq!(kept, expected, "{n} logits, top-k {top_k}, top-p {top_p}");
        }
    }
}

#[test]
fn a_full_vocabulary_has_the_shares_of_its_weights() {
    // Four groups of ids, each with a known share of the probability.
    let logits: Vec<f32> = (0..1_000).map(|id| ((id % 4 + 1) as f32).ln()).collect();
    let found = shares(&mut sampler(1.0, 0, 1.0), &logits);
    for group in 0..4 {
        let share: f64 = found.iter().skip(group).step_by(4).sum();
        assert!(
            (share - (group + 1) as f64 / 10.0).abs() < 0.015,
            "{group}: {share}"
        );
    }
}

#[test]
fn temperature_shapes_the_shares() {
    let logits = [0.0, 1.0, 2.0];
    for temperature in [0.5, 1.0, 2.0] {
        let weights: Vec<f64> = logits
            .iter()
            .map(|l| f64::from(l / temperature).exp())
            .collect();
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
    assert!(
        (found[0] - 0.625).abs() < 0.015 && (found[1] - 0.375).abs() < 0.015,
        "{found:?}"
    );
    assert_eq!(found[2] + found[3], 0.0);
}

#[test]
fn a_seed_repeats_and_streams_differ() {
    let config = sampler(1.0, 0, 1.0).config;
    let logits = vec![0.0; 64];
    let run = |stream| -> Vec<usize> {
        let mut sampler = Sampler::new(&config, stream);
        (0..20).map(|_| sampler.sample(&logits)).collect()
    };
    assert_eq!(run(0), run(0));
    assert_ne!(run(0), run(1));
}

#[test]
fn what_is_no_number_is_found_wherever_it_is() {
    let mut logits = vec![1.0; 5000];
    assert!(all_finite(&logits) && all_finite(&[f32::MAX, f32::MIN_POSITIVE, 0.0]));
    for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for at in [0, 1023, 1024, 4999] {
            logits[at] = bad;
            assert!(!all_finite(&logits));
            logits[at] = 1.0;
        }
    }
}
