//! Products of bytes and of four bits, and GELU.

use super::*;

/// The weights [n, k] of a product in 4 or 8 bits.
fn weights(model: &Model) -> Vec<Vec<f64>> {
    let weights = model.inputs[1].as_ref().expect("weights");
    let scales = f32s(model, 2);
    let shape = &weights.shape;
    match &weights.data {
        Data::U8(packed) => {
            let (n, k) = (shape[0], shape[1] * 128);
            let weight = |row: usize, i: usize| {
                let byte = packed[(row * k + i) / 2];
                let nibble = if i.is_multiple_of(2) {
                    byte & 15
                } else {
                    byte >> 4
                };
                (f64::from(nibble) - 8.0) * scales[row * shape[1] + i / 128]
            };
            let row = |row| (0..k).map(|i| weight(row, i)).collect();
            (0..n).map(row).collect()
        }
        Data::I8(tiles) => {
            let (n, fours) = (shape[0] * 16, shape[1]);
            let weight = |row: usize, i: usize| {
                let at = (row / 16 * fours + i / 4) * 64 + row % 16 * 4 + i % 4;
                f64::from(tiles[at]) * scales[row]
            };
            let row = |row| (0..4 * fours).map(|i| weight(row, i)).collect();
            (0..n).map(row).collect()
        }
        other => panic!("{other:?}"),
    }
}

/// Compares a product with the exact one: each number of x may be off by half a step of its block.
fn is_the_product(model: &Model, what: &str) {
    let (weights, x, found) = (weights(model), f32s(model, 0), output(model));
    let four_bits = model.operator == "Linear4";
    let k = weights[0].len();
    let block = if four_bits { 128 } else { k };
    let bias = match four_bits {
        true => vec![0.0; weights.len()],
        false => f32s(model, 3),
    };
    assert_eq!(found.len(), x.len() / k * weights.len());
    for (row, x) in x.chunks(k).enumerate() {
        let steps = x.chunks(block).map(|x| {
            let most = x.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
            let low = x.iter().copied().fold(0.0, f64::min);
            let high = x.iter().copied().fold(0.0, f64::max);
            // 8 bits around a zero of their own are off by half a step more.
            let step = if four_bits {
                most / 127.0
            } else {
                2.0 * (high - low) / 255.0
            };
            step + 127.0 * f64::from(f32::from_bits(1))
        });
        let steps: Vec<f64> = steps.collect();
        for (column, weights) in weights.iter().enumerate() {
            let terms = || weights.iter().zip(x).map(|(w, x)| w * x);
            let exact = terms().sum::<f64>() + bias[column];
            let magnitude = terms().map(f64::abs).sum::<f64>() + bias[column].abs();
            let off = weights.iter().enumerate();
            let off: f64 = off.map(|(i, w)| w.abs() * steps[i / block]).sum();
            let within = 0.51 * off + 1e-5 * magnitude + 1e-39;
            if exact.abs() + within > f64::from(f32::MAX) {
                continue; // beyond a float
            }
            let found = f64::from(found[row * weights_len(model) + column]);
            assert!(
                (found - exact).abs() <= within,
                "{what}: {} gives {found} in row {row}, column {column}; {exact} is right, to {within}",
                model.operator
            );
        }
    }
}

fn weights_len(model: &Model) -> usize {
    let shape = &model.inputs[1].as_ref().expect("weights").shape;
    if model.operator == "Linear4" {
        shape[0]
    } else {
        16 * shape[0]
    }
}

#[test]
fn products_of_the_smallest_and_the_largest_rows_are_finite_and_right() {
    // Few rows and many go through different code, as do pairs of tiles and single ones.
    for rows in [1, 5, 20] {
        for mut model in [
            linear4(rows, 20, 2),
            linear8("Linear8", rows, 3, 16),
            linear8("Linear8", rows, 2, 13),
        ] {
            let k = model.input(0).shape[1];
            for (what, x) in extremes(k) {
                for small in [1.0, 1e-4, 1e25] {
                    if small > 1.0 && x.iter().any(|x| x.abs() > 1e-30) {
                        continue; // beyond a float
                    }
                    let mut model = model.clone();
                    f32s_mut(&mut model, 2)
                        .iter_mut()
                        .for_each(|x| *x *= small * 1e-3);
                    if rows > 1 && small == 1.0 {
                        // Beside rows of numbers.
                        f32s_mut(&mut model, 0)[(rows - 2) * k..][..k].copy_from_slice(&x);
                    } else {
                        *f32s_mut(&mut model, 0) = x.repeat(rows);
                    }
                    is_the_product(&model, what);
                }
            }
            for (i, x) in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY]
                .into_iter()
                .enumerate()
            {
                let before = output(&model);
                let mut hurt = model.clone();
                f32s_mut(&mut hurt, 0)[k - 1 - i] = x;
                let after = output(&hurt);
                let n = weights_len(&model);
                assert!(after[..n].iter().all(|y| y.is_nan()), "{x} does not show");
                assert_eq!(bits(&after[n..]), bits(&before[n..]), "{x} shows elsewhere");
            }
            // The session's buffers are as they were.
            f32s_mut(&mut model, 0).fill(0.5);
            is_the_product(&model, "after others");
        }
    }
}

#[test]
fn gelu_of_extremes_is_finite() {
    let model = linear8("Linear8Gelu", 1, 1, 4);
    for (bias, expected) in [
        (f32::MAX, f32::MAX),
        (f32::MIN, 0.0),
        (1e20, 1e20),
        (-1e20, 0.0),
        (1e-40, 0.0),
    ] {
        let mut model = model.clone();
        f32s_mut(&mut model, 0).fill(0.0);
        f32s_mut(&mut model, 3).fill(bias);
        for y in output(&model) {
            assert!(
                (y - expected).abs() <= 1e-6 * expected.abs() + 1e-30,
                "{bias}: {y}"
            );
        }
    }
}

/// The normal distribution, by its density's integral.
fn normal(x: f64) -> f64 {
    let density = |x: f64| (-x * x / 2.0).exp() / std::f64::consts::TAU.sqrt();
    let (n, h) = (2000, x / 2000.0);
    let inner: f64 = (1..n).map(|i| density(f64::from(i) * h)).sum();
    0.5 + h * (inner + (density(0.0) + density(x)) / 2.0)
}

#[test]
fn gelu_is_x_and_the_normal_distribution() {
    // The inputs are zero; the bias is what is activated.
    let mut model = linear8("Linear8Gelu", 1, 80, 1);
    f32s_mut(&mut model, 0).fill(0.0);
    for (i, x) in f32s_mut(&mut model, 3).iter_mut().enumerate() {
        *x = (i as f32 - 640.0) * 0.01;
    }
    for (x, y) in f32s(&model, 3).into_iter().zip(output(&model)) {
        let exact = x * normal(x);
        assert!((f64::from(y) - exact).abs() < 3e-6, "{x}: {y} {exact}");
    }
}

#[test]
fn products_of_odd_sizes_are_right() {
    for rows in [1, 2, 3, 7, 9, 13, 16, 17, 25] {
        for (n, blocks) in [(1, 1), (15, 2), (16, 1), (17, 3), (65, 2)] {
            is_the_product(
                &linear4(rows, n, blocks),
                &format!("{rows} rows, {n} by {blocks}"),
            );
        }
        for (tiles, fours) in [(1, 1), (1, 3), (2, 5), (3, 16), (5, 33)] {
            let model = linear8("Linear8", rows, tiles, fours);
            is_the_product(&model, &format!("{rows} rows, {tiles} by {fours}"));
        }
    }
}

/// Where all products are the largest, `vpmaddubsw` alone would saturate: 255 x 127 twice is beyond
/// 16 bits.
#[test]
fn sums_of_the_largest_bytes_are_exact() {
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        assert_eq!(pair_of_the_largest(), i32::from(i16::MAX), "it saturates");
    }
    for (weight, x) in [(127, 1.0), (-128, 1.0), (127, -1.0), (-128, -1.0)] {
        let (fours, rows) = (33, 5);
        let mut model = linear8("Linear8", rows, 3, fours);
        let ones = f32s_mut(&mut model, 0);
        ones.fill(x);
        f32s_mut(&mut model, 2).fill(1.0);
        f32s_mut(&mut model, 3).fill(0.0);
        if let Data::I8(weights) = &mut model.input(1).data {
            weights.fill(weight);
        }
        // x is 255 steps of 1/255, or as many below zero.
        let exact = f64::from(weight) * f64::from(x) * 4.0 * fours as f64;
        for y in output(&model) {
            assert!(
                (f64::from(y) / exact - 1.0).abs() < 1e-6,
                "{y}, {exact} is right"
            );
        }
    }
    for (byte, x) in [(0xff, 1.0), (0xff, -1.0), (0x00, 1.0), (0x00, -1.0)] {
        for rows in [1, 20] {
            let mut model = linear4(rows, 17, 2);
            f32s_mut(&mut model, 0).fill(x);
            f32s_mut(&mut model, 2).fill(1.0);
            if let Data::U8(packed) = &mut model.input(1).data {
                packed.fill(byte);
            }
            let exact = f64::from(x) * 256.0 * (f64::from(byte & 15) - 8.0);
            for y in output(&model) {
                assert!(
                    (f64::from(y) / exact - 1.0).abs() < 1e-6,
                    "{y}, {exact} is right"
                );
            }
        }
    }
}

/// 255 x 127 + 255 x 127, as AVX2 has it.
#[cfg(target_arch = "x86_64")]
#[allow(unsafe_code)]
fn pair_of_the_largest() -> i32 {
    use std::arch::x86_64::*;

    #[target_feature(enable = "avx2")]
    fn pair() -> i32 {
        let sums = _mm256_maddubs_epi16(_mm256_set1_epi8(-1), _mm256_set1_epi8(127));
        i32::from(_mm256_extract_epi16::<0>(sums) as i16)
    }
    // SAFETY: the caller found AVX2.
    unsafe { pair() }
}
