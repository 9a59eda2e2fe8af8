//! Kernels on numbers at the ends of their range, on what an earlier question left, and on shapes
//! beyond the exporter's, against exact sums or ONNX Runtime's own operators.

use super::super::choice::with_vectors;
use super::super::kernels::{Columns, attention};
use super::super::vectors::Vectors;
use super::model::{Attribute::*, Data, Model};
use super::{
    Kernels, attention8, bindable, cached_attention_of, draws, linear4, linear8, runtime, snake,
    snake_conv,
};

/// The numbers of input `i`.
fn f32s(model: &Model, i: usize) -> Vec<f64> {
    match &model.inputs[i].as_ref().expect("an input").data {
        Data::F32(x) => x.iter().map(|&x| f64::from(x)).collect(),
        other => panic!("{other:?}"),
    }
}

fn f32s_mut(model: &mut Model, i: usize) -> &mut Vec<f32> {
    match &mut model.input(i).data {
        Data::F32(x) => x,
        other => panic!("{other:?}"),
    }
}

fn output(model: &Model) -> Vec<f32> {
    model.run(runtime()).expect("a result").1
}

fn bits(x: &[f32]) -> Vec<u32> {
    x.iter().map(|x| x.to_bits()).collect()
}

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

/// Rows of numbers from one end of their range to the other.
fn extremes(k: usize) -> Vec<(&'static str, Vec<f32>)> {
    let scaled = |by: f32| {
        draws(k, 5)
            .into_iter()
            .map(|x| x * by)
            .collect::<Vec<f32>>()
    };
    let mixed = |all: &[f32]| all.iter().copied().cycle().take(k).collect::<Vec<f32>>();
    vec![
        ("zeros", vec![0.0; k]),
        ("negative zeros", vec![-0.0; k]),
        ("the smallest denormal", vec![f32::from_bits(1); k]),
        ("denormals", scaled(1e-39)),
        ("few denormals", mixed(&[0.0, 0.0, 1e-44, 0.0, -1e-42])),
        ("numbers of small inverse", scaled(1e-37)),
        ("small numbers", scaled(1e-31)),
        ("numbers", scaled(1.0)),
        ("large numbers", scaled(1e30)),
        ("the largest", vec![f32::MAX; k]),
        (
            "the largest and their negatives",
            mixed(&[f32::MAX, -f32::MAX, f32::MAX]),
        ),
        (
            "all together",
            mixed(&[f32::MAX, 0.0, 1e-40, 1.0, -1.0, f32::MIN]),
        ),
        ("one large", mixed(&[1.0, 2.0, -3.0, 1e20, 0.5])),
    ]
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

/// Attention in doubles: queries [m, 64 heads], keys and values [n, 64 heads].
fn attention(queries: &[f64], keys: &[f64], values: &[f64], heads: usize) -> Vec<f64> {
    let width = 64 * heads;
    let mut y = Vec::new();
    for query in queries.chunks(width) {
        for head in 0..heads {
            let of = |row: &[f64]| row[head * 64..][..64].to_vec();
            let query = of(query);
            let score =
                |key: &[f64]| -> f64 { of(key).iter().zip(&query).map(|(a, b)| a * b).sum() };
            let scores: Vec<f64> = keys.chunks(width).map(score).collect();
            let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let weights: Vec<f64> = scores.iter().map(|s| (s - most).exp()).collect();
            let sum: f64 = weights.iter().sum();
            y.extend((0..64).map(|d| -> f64 {
                let value = |(w, value): (&f64, &[f64])| w / sum * value[head * 64 + d];
                weights.iter().zip(values.chunks(width)).map(value).sum()
            }));
        }
    }
    y
}

#[test]
fn attention_of_the_smallest_and_the_largest_rows_is_finite_and_right() {
    // What queries, keys and values are multiplied by.
    let small = f32::from_bits(3);
    for factors in [
        [0.0, 1.0, 1.0],
        [1.0, 0.0, 1.0],
        [1.0, 1.0, 0.0],
        [0.0, 0.0, 0.0],
        [small, 1.0, 1.0],
        [1.0, small, 1.0],
        [1.0, 1.0, small],
        [1e-39, 1.0, 1.0],
        [1.0, 1e-39, 1.0],
        [1.0, 1.0, 1e-37],
        [1.0, 1.0, 1e30],
        [1.0, 1.0, f32::MAX],
        [0.0, f32::MAX, 1.0],
        [1e-38, 1e37, 1.0],
        [1e37, 1e-38, 1.0],
        [1e-37, 1e37, f32::MAX],
    ] {
        for (queries, keys) in [(1, 1), (3, 5), (9, 40), (2, 300)] {
            let mut model = attention8(queries, keys, 2);
            for (i, factor) in factors.into_iter().enumerate() {
                f32s_mut(&mut model, i)
                    .iter_mut()
                    .for_each(|x| *x *= factor);
            }
            let [q, k, v] = [0, 1, 2].map(|i| f32s(&model, i));
            let most = v.iter().fold(0.0, |a: f64, b| a.max(b.abs()));
            let exact = attention(&q, &k, &v, 2);
            for (exact, found) in exact.iter().zip(output(&model)) {
                let off = (exact - f64::from(found)).abs();
                assert!(
                    off <= 0.05 * most + 2e-43,
                    "{factors:?}, {queries} queries, {keys} keys: {found}, {exact} is right"
                );
            }
        }
    }
    // Keys and values whose mean cannot be had.
    for mixed in [
        &[f32::MAX; 2][..],
        &[f32::MAX, f32::MIN],
        &[f32::MAX, 0.9 * f32::MIN, 1.0],
    ] {
        let mut model = attention8(3, 40, 1);
        let width = 64;
        for (i, x) in f32s_mut(&mut model, 2).iter_mut().enumerate() {
            *x = mixed[i / width % mixed.len()];
        }
        f32s_mut(&mut model, 0).fill(0.0);
        let [q, k, v] = [0, 1, 2].map(|i| f32s(&model, i));
        for (exact, found) in attention(&q, &k, &v, 1).iter().zip(output(&model)) {
            let off = (exact - f64::from(found)).abs();
            assert!(
                off <= 0.05 * f64::from(f32::MAX),
                "{mixed:?}: {found}, {exact} is right"
            );
        }
    }
}

#[test]
fn attention_of_no_numbers_says_so_and_the_next_run_is_right() {
    let model = attention8(3, 40, 2);
    let mut session = model.open(runtime()).expect("a session");
    let mut run = |model: &Model| model.run_in(&mut session).expect("a result").1;
    let before = run(&model);
    for x in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        for i in 0..3 {
            let mut hurt = model.clone();
            f32s_mut(&mut hurt, i)[5] = x;
            let y = run(&hurt);
            assert!(
                y.iter().any(|y| !y.is_finite()),
                "{x} of input {i} does not show"
            );
            // It is of the first head alone.
            let second =
                |y: &[f32]| -> Vec<u32> { y.chunks(128).flat_map(|y| bits(&y[64..])).collect() };
            assert_eq!(second(&y), second(&before));
            assert_eq!(bits(&run(&model)), bits(&before), "{x} stays");
        }
    }
}

#[test]
fn a_query_of_zeros_weighs_no_key_of_an_earlier_question() {
    for kernels in Kernels::ALL {
        with_vectors!(kernels, weighs_no_key_of_an_earlier_question);
    }
}

fn weighs_no_key_of_an_earlier_question<V: Vectors>(v: V) {
    let attend = |n: usize, queries: &[f32], fill: f32| {
        let (keys, mut values) = (draws(n * 64, 1), draws(n * 64, 2));
        values.iter_mut().for_each(|x| *x *= fill);
        let heads = attention::Heads {
            queries,
            keys: &keys,
            values: &values,
            width: 64,
        };
        let mut y = vec![f32::NAN; queries.len()];
        attention::attend(v, &heads, Columns::part(&mut y, 64, 0..64));
        y
    };
    // All of them on one thread, whose room is used again.
    for (n, before) in [
        (1, 40),
        (5, 6),
        (5, 300),
        (17, 128),
        (130, 160),
        (129, 1000),
    ] {
        for query in [0.0, -0.0, f32::from_bits(1), 1e-38, 1e-20] {
            let queries = vec![query; 3 * 64];
            let fresh = std::thread::scope(|scope| {
                let fresh = scope.spawn(|| attend(n, &queries, 1.0));
                fresh.join().expect("no panic")
            });
            for fill in [1e6, f32::MAX, f32::NAN] {
                attend(before, &draws(64, 9), fill);
                let stale = attend(n, &queries, 1.0);
                assert_eq!(
                    bits(&stale),
                    bits(&fresh),
                    "{n} keys after {before} of {fill}"
                );
            }
            let values = draws(n * 64, 2);
            for (d, y) in fresh[..64].iter().enumerate() {
                let mean = values.iter().skip(d).step_by(64).sum::<f32>() / n as f32;
                assert!((y - mean).abs() < 0.03, "{n} keys: {y}, the mean is {mean}");
            }
        }
    }
}

#[test]
fn what_lies_behind_a_row_in_the_cache_changes_no_bit() {
    for (heads, groups, head, columns, lengths) in [
        (14, 2, 64, 1, &[1, 512, 600][..]),
        (14, 2, 64, 37, &[37]),
        (4, 4, 16, 1, &[5, 129]),
        (3, 1, 48, 2, &[2, 130]),
        (8, 2, 256, 3, &[3, 40]),
    ] {
        let rows: Vec<(usize, i32)> = lengths.iter().map(|&n| (columns, n)).collect();
        let capacity = 640;
        let model = cached_attention_of(heads, groups, head, &rows, capacity, 640);
        for zero_query in [false, true] {
            let mut clean = model.clone();
            if zero_query {
                f32s_mut(&mut clean, 0).fill(0.0);
            }
            let expected = output(&clean);
            assert!(expected.iter().all(|y| y.is_finite()));
            for stale in [
                0.0,
                1e30,
                f32::MAX,
                f32::NAN,
                f32::INFINITY,
                f32::NEG_INFINITY,
            ] {
                let mut model = clean.clone();
                for i in [1, 2] {
                    let cache = f32s_mut(&mut model, i).chunks_mut(capacity * head);
                    for (at, cache) in cache.enumerate() {
                        // What these columns write is stale before, too.
                        let read = lengths[at / groups] as usize - columns;
                        cache[read * head..].fill(stale);
                    }
                }
                assert_eq!(bits(&output(&model)), bits(&expected), "{stale} shows");
            }
        }
    }
}

#[test]
fn a_cache_in_place_and_a_copied_one_say_the_same() {
    let model = cached_attention_of(4, 2, 16, &[(3, 9), (3, 12)], 21, 30);
    let mut session = model.open(runtime()).expect("a session");
    let given = model.given();
    let shape = [2, 2, 21, 16];
    let outputs = session.run(&given[..]).expect("a result");
    let floats = |name: &str| {
        outputs[name]
            .try_extract_tensor::<f32>()
            .expect("floats")
            .1
            .to_vec()
    };
    let copied = ["y0", "y1", "y2"].map(floats);
    drop(outputs);
    let (mut keys, mut values) = (bindable(&shape, 1), bindable(&shape, 2));
    let mut y = bindable(&[2, 3, 64], 7);
    let mut binding = session.create_binding().expect("a binding");
    for (i, value) in given.iter().enumerate() {
        if i != 1 && i != 2 {
            binding.bind_input(format!("x{i}"), value).expect("bound");
        }
    }
    binding.bind_input("x1", &keys).expect("bound");
    binding.bind_input("x2", &values).expect("bound");
    binding.bind_output("y1", &mut keys).expect("bound");
    binding.bind_output("y2", &mut values).expect("bound");
    binding.bind_output("y0", &mut y).expect("bound");
    session.run_binding(&binding).expect("a result");
    for (copied, in_place) in copied.iter().zip([&y, &keys, &values]) {
        assert_eq!(bits(copied), bits(in_place.extract_tensor().1));
    }
    assert_ne!(copied[1], draws(copied[1].len(), 1), "no keys were written");
}

/// ONNX Runtime's own operator in place of ours.
fn theirs(model: &Model, operator: &'static str, places: &[Option<usize>]) -> Model {
    Model {
        domain: "com.microsoft",
        operator,
        inputs: places.iter().map(|&i| model.inputs[i?].clone()).collect(),
        outputs: model.outputs,
        attributes: model.attributes.clone(),
    }
}

fn all_close(what: &str, ours: &[f32], theirs: &[f32], within: f32) {
    assert_eq!(ours.len(), theirs.len(), "{what}");
    for (i, (a, b)) in ours.iter().zip(theirs).enumerate() {
        assert!((a - b).abs() <= within, "{what}, number {i}: {a} {b}");
    }
}

#[test]
fn attention_is_onnx_runtimes_for_any_heads() {
    for (heads, groups, head, rows, capacity) in [
        (1, 1, 16, &[(1, 1)][..], 1),
        (2, 1, 16, &[(5, 5)], 9),
        (4, 2, 16, &[(3, 9)], 21),
        (9, 3, 32, &[(1, 7), (1, 700), (1, 129)], 701),
        (6, 6, 64, &[(17, 140)], 141),
        (5, 1, 128, &[(2, 33)], 40),
        (2, 2, 256, &[(9, 130)], 130),
    ] {
        for scale in [(head as f32).powf(-0.5), 0.0, 1.5] {
            let mut model = cached_attention_of(heads, groups, head, rows, capacity, capacity);
            model.attributes.retain(|(name, _)| *name != "scale");
            let model = model.with("scale", Float(scale));
            let places = [
                Some(0),
                None,
                None,
                Some(1),
                Some(2),
                Some(3),
                Some(4),
                Some(5),
                Some(6),
            ];
            let theirs = theirs(&model, "GroupQueryAttention", &places)
                .with("do_rotary", Integer(1))
                .with("rotary_interleaved", Integer(0));
            let what = format!("{heads} heads of {head} in {groups} groups, scale {scale}");
            all_close(&what, &output(&model), &output(&theirs), 1e-4);
        }
    }
    for (queries, keys, heads) in [(1, 2, 1), (8, 16, 1), (9, 17, 3), (5, 129, 2), (33, 257, 2)] {
        let model = attention8(queries, keys, heads);
        let theirs = theirs(&model, "MultiHeadAttention", &[Some(0), Some(1), Some(2)])
            .with("scale", Float(1.0));
        let what = format!("{queries} queries, {keys} keys");
        all_close(&what, &output(&model), &output(&theirs), 0.03);
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

#[test]
fn snakes_of_odd_sizes_are_right() {
    let snake_of = |x: f64, alpha: f64, inverse: f64| x + (alpha * x).sin().powi(2) * inverse;
    for (rows, channels) in [(1, 1), (3, 5), (700, 37), (9, 20_000)] {
        let model = snake(rows, channels);
        let [x, alpha, inverse] = [0, 1, 2].map(|i| f32s(&model, i));
        for (i, y) in output(&model).iter().enumerate() {
            let exact = snake_of(x[i], alpha[i % channels], inverse[i % channels]);
            assert!((f64::from(*y) - exact).abs() < 1e-5, "{y} {exact}");
        }
    }
    for (rows, channels, taps, dilation) in [
        (1, 1, 1, 1000),
        (5, 3, 2, 3),
        (90, 33, 7, 9),
        (600, 70, 7, 1),
    ] {
        let model = snake_conv(
            rows + (taps - 1) * dilation,
            channels,
            taps,
            dilation as i64,
        );
        let [x, alpha, inverse, weight, bias, after, inverse_after] =
            [0, 1, 2, 3, 4, 5, 6].map(|i| f32s(&model, i));
        let y = output(&model);
        assert_eq!(y.len(), rows * channels);
        for (i, y) in y.iter().enumerate() {
            let c = i % channels;
            let tap = |k: usize| {
                let x = x[i + k * dilation * channels];
                weight[k * channels + c] * snake_of(x, alpha[c], inverse[c])
            };
            let sum = bias[c] + (0..taps).map(tap).sum::<f64>();
            let exact = snake_of(sum, after[c], inverse_after[c]);
            assert!((f64::from(*y) - exact).abs() < 1e-4, "{y} {exact}");
        }
    }
}
