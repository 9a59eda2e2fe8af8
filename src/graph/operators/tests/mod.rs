//! Kernels against the functions that they stand for, and against what no model says.

mod hostile;
mod model;
mod mutations;
mod numbers;

use std::path::Path;
use std::sync::OnceLock;

use ort::operator::OperatorDomain;
use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;

use self::model::{Attribute::*, Data, Given, Model};
use super::{Kernels, domain};
use crate::graph::{Provider, Runtime};

/// One for all tests: a process can load it once.
fn runtime() -> &'static Runtime {
    static RUNTIME: OnceLock<Runtime> = OnceLock::new();
    RUNTIME.get_or_init(|| Runtime::load(Provider::Cpu, 2).expect("ONNX Runtime"))
}

/// Numbers in -1..1 that look random.
fn draws(n: usize, seed: usize) -> Vec<f32> {
    let draw = |i: usize| ((i + 1) as f32 * (seed + 1) as f32 * 0.37).sin();
    (0..n).map(draw).collect()
}

/// An input of a session.
fn floats(shape: &[usize], seed: usize) -> SessionInputValue<'static> {
    let x = draws(shape.iter().product(), seed);
    Tensor::from_array((shape, x)).expect("a tensor").into()
}

fn integers(shape: &[usize], x: &[i32]) -> SessionInputValue<'static> {
    let x = Tensor::from_array((shape, x.to_vec()));
    x.expect("a tensor").into()
}

/// The first inputs of a codec's stage of 32 channels: what it remembers, a signal, and where that lies in
/// a clip, (frames before, frames in all).
fn in_a_clip(
    reach: usize,
    positions: usize,
    (before, clip): (i64, i64),
) -> Vec<SessionInputValue<'static>> {
    let frames = |n: i64| Tensor::from_array(([1], vec![n])).expect("a tensor");
    vec![
        floats(&[1, reach, 32], 0),
        floats(&[1, positions, 32], 1),
        frames(before).into(),
        frames(clip).into(),
    ]
}

/// A tensor in memory that can be bound to an output too.
fn bindable(shape: &[usize], seed: usize) -> Tensor<f32> {
    let allocator = ort::memory::Allocator::default();
    let mut tensor = Tensor::new(&allocator, shape).expect("a tensor");
    let x = tensor.extract_tensor_mut().1;
    x.copy_from_slice(&draws(x.len(), seed));
    tensor
}

/// An input of a model.
fn given(shape: &[usize], seed: usize) -> Given {
    Given::new(shape, Data::F32(draws(shape.iter().product(), seed)))
}

/// Small weights that look random.
fn bytes(n: usize) -> Vec<u8> {
    (0..n).map(|i| (i * i * 31 + i * 7) as u8).collect()
}

/// A product with 4-bit weights [n, 128 blocks].
fn linear4(rows: usize, n: usize, blocks: usize) -> Model {
    let packed = Data::U8(bytes(n * blocks * 64));
    let inputs = vec![
        given(&[rows, 128 * blocks], 0),
        Given::new(&[n, blocks, 64], packed).constant(),
        given(&[n, blocks], 1).constant(),
    ];
    Model::new("Linear4", inputs)
        .with("N", Integer(n as i64))
        .with("K", Integer(128 * blocks as i64))
}

/// 8-bit weights [16 tiles, 4 fours], their scales and a bias.
fn packed(tiles: usize, fours: usize) -> [Given; 3] {
    let weights = bytes(64 * tiles * fours).into_iter();
    let weights = Data::I8(weights.map(|x| x as i8).collect());
    [
        Given::new(&[tiles, fours, 16, 4], weights).constant(),
        given(&[16 * tiles], 1).constant(),
        given(&[16 * tiles], 2).constant(),
    ]
}

/// A product with such weights.
fn linear8(operator: &'static str, rows: usize, tiles: usize, fours: usize) -> Model {
    let mut inputs = vec![given(&[rows, 4 * fours], 0)];
    inputs.extend(packed(tiles, fours));
    Model::new(operator, inputs)
}

fn attention8(queries: usize, keys: usize, heads: usize) -> Model {
    let n = [queries, keys, keys];
    let inputs = (0..3).map(|i| given(&[1, n[i], 64 * heads], i)).collect();
    Model::new("Attention8", inputs).with("num_heads", Integer(heads as i64))
}

/// The same with a count for each key.
fn counted_attention8(queries: usize, keys: usize, heads: usize) -> Model {
    let mut model = attention8(queries, keys, heads);
    model.operator = "CountedAttention8";
    model.inputs.push(Some(given(&[keys], 3)));
    model
}

/// Rows of (columns, what they have read with these); 4 heads of 16 in 2 groups.
fn cached_attention(rows: &[(usize, i32)], capacity: usize, positions: usize) -> Model {
    cached_attention_of(4, 2, 16, rows, capacity, positions)
}

fn cached_attention_of(
    heads: usize,
    groups: usize,
    head: usize,
    rows: &[(usize, i32)],
    capacity: usize,
    positions: usize,
) -> Model {
    let n = rows.len();
    let most = rows.iter().map(|row| row.1).max().unwrap_or(0);
    let inputs = vec![
        given(&[n, rows[0].0, (heads + 2 * groups) * head], 0),
        given(&[n, groups, capacity, head], 1),
        given(&[n, groups, capacity, head], 2),
        Given::new(&[n], Data::I32(rows.iter().map(|row| row.1 - 1).collect())),
        Given::new(&[], Data::I32(vec![most])),
        given(&[positions, head / 2], 3),
        given(&[positions, head / 2], 4),
    ];
    let mut model = Model::new("CachedAttention", inputs)
        .with("num_heads", Integer(heads as i64))
        .with("kv_num_heads", Integer(groups as i64))
        .with("scale", Float((head as f32).powf(-0.5)));
    model.outputs = 3;
    model
}

/// What a Snake, a convolution and another Snake are made of, drawn from `seed` on.
fn around_a_convolution(channels: usize, seed: usize) -> impl Iterator<Item = Given> {
    let one = move |i| match i {
        2 => given(&[7, channels], seed + i),
        _ => given(&[channels], seed + i),
    };
    (0..6).map(one)
}

fn snake_conv(positions: usize, channels: usize, dilation: i64) -> Model {
    let mut inputs = vec![given(&[1, positions, channels], 0)];
    inputs.extend(around_a_convolution(channels, 1));
    Model::new("SnakeConv", inputs)
        .with("dilations", Integers(vec![dilation]))
        .with("group", Integer(channels as i64))
}

fn frames(n: i64) -> Given {
    Given::new(&[1], Data::I64(vec![n]))
}

fn residual_unit8(positions: usize, dilation: usize) -> Model {
    let mut inputs = vec![
        given(&[1, 6 * dilation, 32], 0),
        given(&[1, positions, 32], 1),
        frames(3),
        frames(5),
    ];
    inputs.extend(around_a_convolution(32, 2));
    inputs.extend(packed(2, 8));
    let mut model = Model::new("ResidualUnit8", inputs)
        .with("dilations", Integers(vec![dilation as i64]))
        .with("group", Integer(32))
        .with("rate", Integer(2))
        .with("delay", Integer(5));
    model.outputs = 2;
    model
}

/// A stride of 3 and 16 channels out.
fn upsample8(positions: usize) -> Model {
    let mut inputs = vec![
        given(&[1, 1, 32], 0),
        given(&[1, positions, 32], 1),
        frames(3),
        frames(5),
    ];
    inputs.extend(packed(6, 8));
    inputs.push(given(&[16], 3));
    let mut model = Model::new("Upsample8", inputs)
        .with("rate", Integer(6))
        .with("delay", Integer(5));
    model.outputs = 2;
    model
}

fn noise8(positions: usize) -> Model {
    let mut inputs = vec![given(&[1, positions, 32], 0), given(&[1, 1, positions], 1)];
    inputs.extend(packed(2, 8));
    Model::new("Noise8", inputs)
}

fn snake(rows: usize, channels: usize) -> Model {
    let inputs = vec![
        given(&[1, rows, channels], 0),
        given(&[channels], 1),
        given(&[channels], 2),
    ];
    Model::new("Snake", inputs)
}

/// One small model of each operator.
fn models() -> Vec<Model> {
    vec![
        snake(3, 4),
        snake_conv(9, 4, 1),
        residual_unit8(9, 1),
        upsample8(5),
        noise8(5),
        linear4(3, 20, 2),
        linear8("Linear8", 3, 2, 16),
        linear8("Linear8Gelu", 3, 2, 16),
        attention8(5, 7, 2),
        counted_attention8(5, 7, 2),
        cached_attention(&[(3, 9)], 21, 30),
    ]
}

/// The kernels of every back end that this processor has, the fastest first.
fn all_kernels(runtime: &Runtime) -> Vec<(&'static str, OperatorDomain)> {
    let domain = |kernels: Kernels| {
        let domain = domain(&runtime.environment, kernels);
        domain
            .expect("the operators")
            .map(|domain| (kernels.name(), domain))
    };
    let here = Kernels::ALL.into_iter().filter(|kernels| kernels.is_here());
    let mut all: Vec<_> = here.filter_map(domain).collect();
    #[cfg(target_arch = "x86_64")]
    if let Some(evex) = super::vectors::Vectors::detect() {
        let operators = super::operators::<super::vectors::AvxVnniEvex>(evex);
        all.push((
            "avxvnni, otherwise encoded",
            operators.expect("the operators"),
        ));
    }
    all
}

/// What the kernel says of a graph's inputs, and what ONNX Runtime says where it does not know it.
fn both_agree(
    runtime: &Runtime,
    name: &str,
    inputs: impl Fn() -> Vec<SessionInputValue<'static>>,
    within: f32,
) {
    let file =
        Path::new(env!("CARGO_MANIFEST_DIR")).join(format!("tests/fixtures/operators/{name}.onnx"));
    let said = |mut builder: ort::session::builder::SessionBuilder| {
        let mut session = builder.commit_from_file(&file).expect("a graph");
        let outputs = session.run(&inputs()[..]).expect("a result");
        let (shape, y) = outputs["y"].try_extract_tensor::<f32>().expect("floats");
        (shape.to_vec(), y.to_vec())
    };
    let builder = || Session::builder(&runtime.environment).expect("a builder");
    let function = said(builder());
    for (kernels, domain) in all_kernels(runtime) {
        let found = said(builder().with_operators(domain).expect("a builder"));
        assert_eq!(function.0, found.0);
        for (i, (a, b)) in function.1.iter().zip(&found.1).enumerate() {
            assert!(
                (a - b).abs() < within,
                "{name} by {kernels}, value {i}: {a} {b}"
            );
        }
    }
}

#[test]
fn kernels_agree_with_their_functions() {
    let runtime = runtime();
    for rows in [1, 2, 7, 16, 17, 40, 150] {
        // Either rounds the rows of x to 8 bits; where, may differ.
        let x = || vec![floats(&[rows, 256], 0)];
        both_agree(runtime, "linear4", x, 0.05);
        both_agree(runtime, "linear8", x, 0.3);
        both_agree(runtime, "linear8_gelu", x, 0.3);
        let noise = || vec![floats(&[1, rows, 32], 0), floats(&[1, 1, rows], 1)];
        both_agree(runtime, "noise8", noise, 0.3);
        for (stage, reach) in [("residual_unit8", 18), ("upsample8", 1)] {
            both_agree(runtime, stage, || in_a_clip(reach, rows, (2, 20)), 0.6);
        }
    }
    for (queries, keys) in [(1, 1), (3, 40), (37, 37), (100, 300)] {
        // The function computes in float.
        let inputs = || {
            let n = [queries, keys, keys];
            (0..3).map(|i| floats(&[1, n[i], 128], i)).collect()
        };
        both_agree(runtime, "attention8", inputs, 0.03);
    }
    // Rows' lengths with the columns that come to them.
    let cases: [(usize, &[i32]); 5] = [
        (1, &[1]),
        (37, &[37]),
        (11, &[50]),
        (1, &[600, 7]),
        (1, &[512, 130, 700]),
    ];
    for (columns, lengths) in cases {
        let inputs = || {
            let n = lengths.len();
            let most = lengths.iter().max().copied().unwrap_or(0);
            let last: Vec<i32> = lengths.iter().map(|n| n - 1).collect();
            vec![
                floats(&[n, columns, 18 * 64], 0),
                floats(&[n, 2, 703, 64], 1),
                floats(&[n, 2, 703, 64], 2),
                integers(&[n], &last),
                integers(&[], &[most]),
                floats(&[703, 32], 3),
                floats(&[703, 32], 4),
            ]
        };
        both_agree(runtime, "cached_attention", inputs, 1e-4);
    }
}
