//! What each stage around the graphs costs, at the published model's sizes: `cargo bench`.
//!
//! A frame of speech lasts 85.3 ms and the graphs take most of it; these must stay far below that.
//! `mini-omni bench` measures the whole path.

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use mini_omni::measure::{Codes, DelayPattern, Mel, Sampler};
use mini_omni::model::MelDims;
use mini_omni::{Noise, SamplingConfig};

/// Ids of the text stream; each of the seven audio streams has 4160.
const TEXT_VOCAB: usize = 152_000;
/// Draws a frame, over the codec's four noise blocks.
const DRAWS: usize = 32 + 256 + 1024 + 2048;

fn mel(c: &mut Criterion) {
    let dims = MelDims {
        sample_rate: 16_000,
        n_fft: 400,
        hop_length: 160,
        n_mels: 80,
        max_seconds: 30,
        frames_per_feature: 2,
        feature_ms: 20,
    };
    let spectrogram = Mel::new(&dims);
    let mut group = c.benchmark_group("mel");
    for (seconds, frames) in [(2, 200), (2, 3_000), (30, 3_000)] {
        let samples = normal(seconds * 16_000);
        let name = format!("{seconds} s in {frames} frames");
        group.bench_function(name, |b| {
            b.iter(|| spectrogram.compute(black_box(&samples), frames))
        });
    }
    group.finish();
    c.bench_function("mel/plan", |b| b.iter(|| Mel::new(&dims)));
}

fn sampling(c: &mut Criterion) {
    let logits: Vec<f32> = normal(TEXT_VOCAB).iter().map(|x| 4.0 * x).collect();
    let settings = [
        ("greedy", 0.0, 0, 1.0),
        ("temperature", 0.9, 0, 1.0),
        ("top-k 50", 0.9, 50, 1.0),
        ("top-p 0.9", 0.9, 0, 0.9),
        ("top-k 50, top-p 0.9", 0.9, 50, 0.9),
    ];
    let mut group = c.benchmark_group("sampling");
    group.throughput(Throughput::Elements(TEXT_VOCAB as u64));
    for (name, temperature, top_k, top_p) in settings {
        let config = SamplingConfig {
            temperature,
            top_k,
            top_p,
            seed: 1,
        };
        let mut sampler = Sampler::new(&config, 0);
        group.bench_function(name, |b| b.iter(|| sampler.sample(black_box(&logits))));
    }
    group.finish();
}

fn noise(c: &mut Criterion) {
    let mut draws = vec![0.0; DRAWS];
    let mut start = 0;
    c.bench_function("noise/a frame", |b| {
        b.iter(|| {
            Noise::Seeded(1).fill(3, start, black_box(&mut draws));
            start += DRAWS as i64;
        });
    });
}

fn delay(c: &mut Criterion) {
    let step = [0, 1, 2, 3, 4, 5, 6];
    let mut pattern = DelayPattern::new(&[1, 2, 3, 4, 5, 6, 7]);
    c.bench_function("delay/a step to codes", |b| {
        b.iter(|| {
            let frame = pattern.push(black_box(&step));
            frame.map(|frame| Codes::of(&[frame], &[0, 1, 2, 2, 1, 2, 2], 3))
        });
    });
}

/// Standard normal numbers, as good as sound or logits to these stages.
fn normal(n: usize) -> Vec<f32> {
    let mut draws = vec![0.0; n];
    Noise::Seeded(0).fill(0, 0, &mut draws);
    draws
}

criterion_group! {
    name = stages;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_secs(1))
        .without_plots();
    targets = mel, sampling, noise, delay
}
criterion_main!(stages);
