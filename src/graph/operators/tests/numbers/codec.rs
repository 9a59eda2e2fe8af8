//! A codec's stage as one kernel, against its layers as a kernel each: the same bits.

use ort::operator::OperatorDomain;
use ort::session::{Session, SessionInputValue};

use super::super::super::guard::Guarded;
use super::super::super::kernels::products8::Activation;
use super::super::super::linear8::Linear8;
use super::super::super::snake::SnakeConv;
use super::super::super::vectors::Plain;
use super::super::{all_kernels, floats, in_a_clip, runtime};

/// Kernels of the layers alone.
fn layers() -> OperatorDomain {
    let linear = Linear8 {
        v: Plain,
        activation: Activation::None,
    };
    let domain = OperatorDomain::new("mini_omni")
        .and_then(|domain| domain.add(Guarded(SnakeConv(Plain)))?.add(Guarded(linear)));
    domain.expect("the operators")
}

/// All outputs.
fn said(
    name: &str,
    kernels: OperatorDomain,
    inputs: &[SessionInputValue<'static>],
    outputs: &[&str],
) -> Vec<Vec<f32>> {
    let file = format!(
        "{}/tests/fixtures/operators/{name}.onnx",
        env!("CARGO_MANIFEST_DIR")
    );
    let session = Session::builder(&runtime().environment)
        .and_then(|builder| builder.with_operators(kernels)?.commit_from_file(file));
    let mut session = session.expect("a session");
    let found = session.run(inputs).expect("a result");
    let floats = |name: &&str| {
        let (_, y) = found[*name].try_extract_tensor::<f32>().expect("floats");
        y.to_vec()
    };
    outputs.iter().map(floats).collect()
}

/// Equal, but that outside the clip zeros may have either sign.
fn a_stage_is_its_layers(
    name: &str,
    inputs: impl Fn() -> Vec<SessionInputValue<'static>>,
    outputs: &[&str],
) {
    let expected = said(name, layers(), &inputs(), outputs);
    for (kernels, domain) in all_kernels(runtime()) {
        let found = said(name, domain, &inputs(), outputs);
        assert!(expected == found, "{name} by {kernels}");
    }
}

/// Lengths about a block's, and one of several pieces.
const LENGTHS: [usize; 8] = [1, 2, 11, 12, 13, 132, 133, 4500];

/// Before the clip, in it, and over its end.
fn a_stage_is_its_layers_in_a_clip(name: &str, reach: usize, over_its_end: [(i64, i64); 2]) {
    for n in LENGTHS {
        let inside = [(0, 1 << 31), (n as i64, 1 << 31)];
        for clip in inside.into_iter().chain(over_its_end) {
            a_stage_is_its_layers(name, || in_a_clip(reach, n, clip), &["y", "present"]);
        }
    }
}

#[test]
fn a_residual_unit_is_its_layers_to_the_bit() {
    a_stage_is_its_layers_in_a_clip("residual_unit8", 18, [(7, 9), (9, 2)]);
}

#[test]
fn a_transposed_convolution_is_its_layers_to_the_bit() {
    a_stage_is_its_layers_in_a_clip("upsample8", 1, [(3, 4), (9, 2)]);
}

#[test]
fn noise_is_its_layers_to_the_bit() {
    for n in LENGTHS {
        let inputs = || vec![floats(&[1, n, 32], 1), floats(&[1, 1, n], 2)];
        a_stage_is_its_layers("noise8", inputs, &["y"]);
    }
}
