//! What no exporter writes: every one an error that names the operator, and the process lives.

use super::super::guard::{Call, Compute, Guarded, Node, Operation};
use super::super::shape::{Dim, Input};
use super::model::{Attribute::*, Data, Given, Model};
use super::{bindable, cached_attention, models, runtime};
use ort::operator::OperatorDomain;
use ort::session::Session;

/// What a model says, opened or run.
fn said(model: &Model) -> String {
    match model.run(runtime()) {
        Ok((shape, y)) => panic!("{model:?} gives {shape:?} {y:?}"),
        Err(e) => e.to_string(),
    }
}

/// A model of `models()` by its operator.
fn model(operator: &str) -> Model {
    let mut all = models().into_iter();
    all.find(|model| model.operator == operator)
        .expect("an operator")
}

/// The same with inputs of other shapes.
fn reshaped(operator: &str, shapes: &[(usize, &[usize])]) -> Model {
    let mut model = model(operator);
    for &(i, shape) in shapes {
        let Given { data, constant, .. } = model.input(i).clone();
        *model.input(i) = Given {
            constant,
            ..Given::new(shape, data)
        };
    }
    model
}

#[test]
fn misshapen_inputs_are_refused_by_operator_input_and_shape() {
    for (model, expected) in [
        (
            reshaped("Snake", &[(1, &[0]), (2, &[0])]),
            "Snake: input 1 (alpha) has the shape [0], expected [channels >= 1]",
        ),
        (
            reshaped("Snake", &[(2, &[1])]),
            "Snake: input 2 (inverse) has the shape [1], expected [channels >= 1] where rows = 3, channels = 4",
        ),
        (
            reshaped("Snake", &[(0, &[])]),
            "Snake: input 0 (x) has the shape []",
        ),
        (
            reshaped("SnakeConv", &[(0, &[9, 4])]),
            "SnakeConv: input 0 (x) has the shape [9, 4], expected [1, positions >= 1, channels >= 1]",
        ),
        (
            reshaped("SnakeConv", &[(0, &[2, 9, 4])]),
            "SnakeConv: input 0 (x) has the shape [2, 9, 4]",
        ),
        (
            reshaped("SnakeConv", &[(5, &[3])]),
            "SnakeConv: input 5 (alpha_after) has the shape [3]",
        ),
        (
            reshaped("SnakeConv", &[(0, &[1, 5, 4])]),
            "SnakeConv: 7 taps with a dilation of 1 reach farther than x's 5 positions; its inputs are x [1, 5, 4], alpha [4]",
        ),
        (
            reshaped("ResidualUnit8", &[(0, &[1, 7, 32])]),
            "ResidualUnit8: input 0 (past) has the shape [1, 7, 32], expected [1, reach >= 1, 4 fours] where reach = 6",
        ),
        (
            reshaped("ResidualUnit8", &[(1, &[1, 9, 36])]),
            "ResidualUnit8: input 1 (x) has the shape [1, 9, 36]",
        ),
        (
            reshaped("ResidualUnit8", &[(3, &[2])]),
            "ResidualUnit8: input 3 (clip_frames) has the shape [2], expected [1]",
        ),
        (
            reshaped("ResidualUnit8", &[(6, &[6, 32])]),
            "ResidualUnit8: input 6 (weight) has the shape [6, 32], expected [7, 4 fours]",
        ),
        (
            reshaped("ResidualUnit8", &[(10, &[3, 8, 16, 4]), (11, &[48])]),
            "ResidualUnit8: 48 columns of packed, 32 numbers of its bias",
        ),
        (
            reshaped("Upsample8", &[(0, &[1, 2, 32])]),
            "Upsample8: input 0 (past) has the shape [1, 2, 32]",
        ),
        (
            reshaped("Upsample8", &[(7, &[15])]),
            "Upsample8: 96 columns of packed are no two strides of 15 channels",
        ),
        (
            reshaped("Noise8", &[(1, &[1, 1, 4])]),
            "Noise8: input 1 (draws) has the shape [1, 1, 4]",
        ),
        (
            reshaped("Linear4", &[(0, &[2, 255])]),
            "Linear4: input 0 (x) has the shape [2, 255], expected [(rows)..., 128 blocks]",
        ),
        (
            reshaped("Linear4", &[(2, &[20, 3])]),
            "Linear4: input 2 (scales) has the shape [20, 3]",
        ),
        (
            reshaped("Linear4", &[(1, &[0, 2, 64]), (2, &[0, 2])]),
            "Linear4: input 1 (packed) has the shape [0, 2, 64]",
        ),
        (
            reshaped("Linear8", &[(0, &[1, 0, 64])]),
            "Linear8: input 0 (x) has the shape [1, 0, 64]",
        ),
        (
            reshaped("Linear8", &[(3, &[16])]),
            "Linear8: input 3 (bias) has the shape [16]",
        ),
        (
            reshaped("Linear8Gelu", &[(1, &[2, 16, 15, 4])]),
            "Linear8Gelu: input 1 (packed) has the shape [2, 16, 15, 4]",
        ),
        (
            reshaped("Attention8", &[(2, &[1, 6, 128])]),
            "Attention8: input 2 (values) has the shape [1, 6, 128]",
        ),
        (
            reshaped("Attention8", &[(1, &[1, 0, 128]), (2, &[1, 0, 128])]),
            "Attention8: input 1 (keys) has the shape [1, 0, 128]",
        ),
        (
            reshaped("Attention8", &[(0, &[2, 5, 128])]),
            "Attention8: input 0 (queries) has the shape [2, 5, 128]",
        ),
        (
            reshaped("CountedAttention8", &[(3, &[6])]),
            "CountedAttention8: input 3 (log_counts) has the shape [6]",
        ),
        (
            reshaped("CachedAttention", &[(2, &[1, 2, 20, 16])]),
            "CachedAttention: input 2 (past_values) has the shape [1, 2, 20, 16]",
        ),
        (
            reshaped(
                "CachedAttention",
                &[
                    (1, &[1, 2, 21, 24]),
                    (2, &[1, 2, 21, 24]),
                    (5, &[30, 12]),
                    (6, &[30, 12]),
                ],
            ),
            "CachedAttention: heads have 24 numbers, expected a multiple of 16 up to 256",
        ),
        (
            reshaped("CachedAttention", &[(0, &[1, 3, 127])]),
            "CachedAttention: input 0 (qkv) has 127 numbers a column, expected (4 + 2 x 2) x 16",
        ),
        (
            reshaped("CachedAttention", &[(4, &[1])]),
            "CachedAttention: input 4 (total) has the shape [1], expected []",
        ),
    ] {
        let said = said(&model);
        assert!(said.contains(expected), "{said}\nfor\n{expected}");
    }
}

#[test]
fn attributes_out_of_bounds_are_refused_when_the_session_opens() {
    let with = |operator: &str, name: &'static str, value| {
        let mut model = model(operator);
        model.attributes.retain(|(other, _)| *other != name);
        model.with(name, value)
    };
    for (model, expected) in [
        (
            with("CachedAttention", "num_heads", Integer(0)),
            "CachedAttention: attribute num_heads is 0, expected one number from 1 to",
        ),
        (
            with("CachedAttention", "kv_num_heads", Integer(-2)),
            "CachedAttention: attribute kv_num_heads is -2",
        ),
        (
            with("CachedAttention", "num_heads", Integer(i64::MAX)),
            "CachedAttention: attribute num_heads is 9223372036854775807",
        ),
        (
            with("CachedAttention", "num_heads", Integer(5)),
            "CachedAttention: attribute num_heads is 5, expected a multiple of kv_num_heads, 2",
        ),
        (
            with("CachedAttention", "scale", Float(f32::NAN)),
            "CachedAttention: attribute scale is Some(NaN), expected a finite number",
        ),
        (
            with("SnakeConv", "dilations", Integers(vec![1 << 61])),
            "SnakeConv: attribute dilations is [2305843009213693952]",
        ),
        (
            with("SnakeConv", "dilations", Integers(vec![0])),
            "SnakeConv: attribute dilations is [0]",
        ),
        (
            with("SnakeConv", "dilations", Integers(vec![1, 1])),
            "SnakeConv: attribute dilations is [1, 1]",
        ),
        (
            with("SnakeConv", "dilations", Float(1.0)),
            "SnakeConv: attribute dilations is []",
        ),
        (
            with("ResidualUnit8", "dilations", Integers(vec![1 << 61])),
            "ResidualUnit8: attribute dilations is [2305843009213693952]",
        ),
        (
            with("ResidualUnit8", "rate", Integer(0)),
            "ResidualUnit8: attribute rate is 0",
        ),
        (
            with("Upsample8", "delay", Integer(-1)),
            "Upsample8: attribute delay is -1",
        ),
        (
            with("Linear4", "K", Integer(100)),
            "Linear4: attribute K is 100, expected a multiple of 128",
        ),
        (
            with("Attention8", "num_heads", Integer(0)),
            "Attention8: attribute num_heads is 0",
        ),
    ] {
        let said = model.open(runtime()).expect_err("a refusal").to_string();
        assert!(said.contains(expected), "{said}\nfor\n{expected}");
    }
    let mut weights = model("Linear8");
    weights.input(1).constant = false;
    let found = said(&weights);
    assert!(
        found.contains("Linear8: input 1 (packed): input is not constant"),
        "{found}"
    );
    let mut heads = model("CachedAttention");
    heads.attributes.clear();
    let found = said(&heads);
    assert!(found.contains("attribute num_heads is missing"), "{found}");
    // An attribute that says otherwise than the shapes.
    for (model, expected) in [
        (with("Linear4", "N", Integer(21)), "where N = 21"),
        (
            with("Attention8", "num_heads", Integer(1)),
            "where num_heads = 1",
        ),
        (with("SnakeConv", "group", Integer(2)), "where channels = 2"),
        (
            with("ResidualUnit8", "dilations", Integers(vec![2])),
            "where reach = 12",
        ),
        (
            with("SnakeConv", "dilations", Integers(vec![1 << 23])),
            "7 taps with a dilation of 8388608",
        ),
    ] {
        let said = said(&model);
        assert!(said.contains(expected), "{said}\nfor\n{expected}");
    }
}

#[test]
fn a_length_outside_of_the_cache_or_the_tables_is_refused() {
    // Three columns, a capacity of 21.
    for last in [-1, i32::MIN, 0, 1, 21, 1 << 20, i32::MAX] {
        let mut model = cached_attention(&[(3, 9)], 21, 30);
        model.input(3).data = Data::I32(vec![last]);
        let said = said(&model);
        let expected = format!("row 0 of input 3 (seqlens_k) is {last}, expected 2 to 20");
        assert!(said.contains(&expected), "{said}");
    }
    // The tables end before the cache does.
    let mut model = cached_attention(&[(3, 9)], 21, 12);
    model.input(3).data = Data::I32(vec![12]);
    model.input(4).data = Data::I32(vec![13]);
    let found = said(&model);
    assert!(found.contains("is 12, expected 2 to 11"), "{found}");
    for total in [-1, 0, 8, 22, i32::MIN, i32::MAX] {
        let mut model = cached_attention(&[(3, 9)], 21, 30);
        model.input(4).data = Data::I32(vec![total]);
        let said = said(&model);
        let expected = format!("input 4 (total) is {total}, expected 9 to 21");
        assert!(said.contains(&expected), "{said}");
    }
}

#[test]
fn no_rows_give_no_rows_where_a_graph_may_have_none() {
    for (empty, shape) in [
        (reshaped("Snake", &[(0, &[1, 0, 4])]), vec![1, 0, 4]),
        (reshaped("Linear4", &[(0, &[0, 256])]), vec![0, 20]),
    ] {
        assert_eq!(empty.run(runtime()).expect("a result"), (shape, vec![]));
    }
}

#[test]
fn an_output_in_the_memory_of_an_input_is_refused_unless_it_is_the_cache() {
    let runtime = runtime();
    let mut session = model("Snake").open(runtime).expect("a session");
    let (mut x, alpha) = (bindable(&[1, 3, 4], 1), bindable(&[4], 1));
    let mut binding = session.create_binding().expect("a binding");
    binding.bind_input("x0", &x).expect("bound");
    binding.bind_input("x1", &alpha).expect("bound");
    binding.bind_input("x2", &alpha).expect("bound");
    binding.bind_output("y0", &mut x).expect("bound");
    let said = session.run_binding(&binding).expect_err("a refusal");
    let expected = "Snake: output 0 lies in the memory of input 0 (x)";
    assert!(said.to_string().contains(expected), "{said}");

    // Keys and values in one buffer.
    let model = cached_attention(&[(1, 5)], 8, 8);
    let mut session = model.open(runtime).expect("a session");
    let mut cache = bindable(&[1, 2, 8, 16], 1);
    let mut values = bindable(&[1, 2, 8, 16], 1);
    let given = model.given();
    for (keys_only, expected) in [
        (true, "output 1 lies in the memory of input 2 (past_values)"),
        (false, ""),
    ] {
        let mut binding = session.create_binding().expect("a binding");
        for (i, value) in given.iter().enumerate() {
            if i != 1 && i != 2 {
                binding.bind_input(format!("x{i}"), value).expect("bound");
            }
        }
        binding.bind_input("x1", &cache).expect("bound");
        binding.bind_output("y1", &mut cache).expect("bound");
        let second = if keys_only { &mut cache } else { &mut values };
        binding.bind_input("x2", &*second).expect("bound");
        binding.bind_output("y2", second).expect("bound");
        let allocator = ort::memory::Allocator::default();
        let memory = allocator.memory_info();
        binding.bind_output_to_device("y0", memory).expect("bound");
        match session.run_binding(&binding) {
            Ok(_) => assert_eq!(expected, "", "two outputs in one memory"),
            Err(e) => assert!(
                !expected.is_empty() && e.to_string().contains(expected),
                "{e}"
            ),
        }
    }
}

/// An operator that panics where its input says.
struct Faulty;

struct FaultyKernel;

impl Operation for Faulty {
    type Kernel = FaultyKernel;

    const INPUTS: &'static [Input] = &[Input::f32("x", &[Dim::Size("n")])];

    fn name(&self) -> &'static str {
        "Faulty"
    }

    fn kernel(&self, node: &Node) -> ort::Result<FaultyKernel> {
        let fault = node.integer("fault", 0..2)?;
        assert_ne!(fault, Some(1), "in create_kernel");
        Ok(FaultyKernel)
    }
}

impl Compute for FaultyKernel {
    fn compute(&mut self, call: &Call) -> ort::Result<()> {
        let x = call.data::<f32>(0)?;
        let mut y = call.output(0, call.shape(0))?;
        assert!(x[0] != 1.0, "in compute, with {}", x[0]);
        let three = x[0] == 3.0;
        call.par_for(100, 0, |i| {
            assert!(x[0] != 2.0 || i % 7 != 3, "in par_for");
            assert!(!three || i != 99, "in one part of {}", 100);
        })?;
        y.data()?.copy_from_slice(x);
        Ok(())
    }
}

#[test]
fn a_panic_is_an_error_of_its_run_and_the_next_run_works() {
    let runtime = runtime();
    let open = |fault: i64| {
        let model = Model::new("Faulty", vec![Given::new(&[2], Data::F32(vec![0.0]))]);
        let model = model.with("fault", Integer(fault));
        super::all_kernels(runtime); // the domain's name is known
        let faulty =
            OperatorDomain::new("mini_omni").and_then(|domain| domain.add(Guarded(Faulty)));
        let session = Session::builder(&runtime.environment)
            .expect("a builder")
            .with_intra_threads(2)
            .expect("two threads")
            .with_log_level(ort::logging::LogLevel::Fatal)
            .expect("a level")
            .with_operators(faulty.expect("an operator"))
            .expect("a builder")
            .commit_from_memory(&model.file());
        (model, session)
    };
    let (_, session) = open(1);
    let said = session.expect_err("a refusal").to_string();
    assert!(
        said.contains("mini_omni operator Faulty: a fault in the kernel"),
        "{said}"
    );
    assert!(said.contains("in create_kernel"), "{said}");
    let (mut model, session) = open(0);
    let mut session = session.expect("a session");
    for (x, expected) in [
        (0.0, None),
        (
            1.0,
            Some("a fault in the kernel (in compute, with 1); its inputs were x [2]"),
        ),
        (0.5, None),
        (
            2.0,
            Some("a fault in the kernel (in par_for); its inputs are x [2]"),
        ),
        (
            3.0,
            Some("a fault in the kernel (in one part of 100); its inputs are x [2]"),
        ),
        (0.25, None),
    ] {
        model.input(0).data = Data::F32(vec![x; 2]);
        match (model.run_in(&mut session), expected) {
            (Ok((_, y)), None) => assert_eq!(y, [x; 2]),
            (Err(e), Some(expected)) => {
                let expected = format!("mini_omni operator Faulty: {expected}");
                assert!(e.to_string().contains(&expected), "{e}");
            }
            (found, expected) => panic!("{found:?}, expected {expected:?}"),
        }
    }
}
