//! Kernels on numbers at the ends of their range, on what an earlier question left, and on shapes
//! beyond the exporter's, against exact sums or ONNX Runtime's own operators.

mod attention;
mod codec;
mod products;

use super::model::{Attribute::*, Data, Model};
use super::{
    Kernels, attention8, bindable, cached_attention_of, counted_attention8, draws, linear4,
    linear8, runtime, snake, snake_conv,
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
    for (rows, channels, dilation) in [(1, 1, 1000), (5, 3, 3), (90, 33, 9), (600, 70, 1)] {
        let model = snake_conv(rows + 6 * dilation, channels, dilation as i64);
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
            let sum = bias[c] + (0..7).map(tap).sum::<f64>();
            let exact = snake_of(sum, after[c], inverse_after[c]);
            assert!((f64::from(*y) - exact).abs() < 1e-4, "{y} {exact}");
        }
    }
}
