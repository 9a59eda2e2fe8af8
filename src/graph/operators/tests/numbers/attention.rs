//! Attention: over a clip, in 8 bits, and over the cache.

use super::super::super::choice::with_vectors;
use super::super::super::kernels::{Columns, attention};
use super::super::super::vectors::Vectors;
use super::*;

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
fn keys_that_count_once_change_no_bit_and_those_that_count_more_weigh_more() {
    // What queries are multiplied by: one may score all keys alike.
    for factor in [1.0, 4.0, 1e-20, 1e-38, 0.0] {
        let (mut plain, mut counted) = (attention8(9, 300, 2), counted_attention8(9, 300, 2));
        for model in [&mut plain, &mut counted] {
            f32s_mut(model, 0).iter_mut().for_each(|x| *x *= factor);
        }
        f32s_mut(&mut counted, 3).fill(0.0);
        assert_eq!(bits(&output(&plain)), bits(&output(&counted)), "{factor}");
        // One key in place of the last hundred, which are alike.
        for input in [1, 2] {
            let rows = f32s_mut(&mut plain, input);
            let last = rows[200 * 128..201 * 128].to_vec();
            rows[200 * 128..]
                .chunks_mut(128)
                .for_each(|row| row.copy_from_slice(&last));
            *f32s_mut(&mut counted, input) = rows[..201 * 128].to_vec();
            counted.input(input).shape[1] = 201;
        }
        counted.input(3).shape = vec![201];
        let counts = f32s_mut(&mut counted, 3);
        counts.truncate(201);
        counts[200] = 100.0_f32.ln();
        for (a, b) in output(&plain).iter().zip(output(&counted)) {
            assert!((a - b).abs() < 0.05, "{factor}: {a} {b}");
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
            log_counts: None,
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
