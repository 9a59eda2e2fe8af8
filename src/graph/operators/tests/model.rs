//! A model of one node, written as the bytes of an ONNX file: what a file can say that an exporter
//! would not.

use ort::ep::CPU;
use ort::operator::OperatorDomain;
use ort::session::{Session, SessionInputValue};
use ort::value::Tensor;

use super::all_kernels;
use crate::graph::Runtime;

/// Numbers of a tensor.
#[derive(Debug, Clone)]
pub(super) enum Data {
    F32(Vec<f32>),
    I32(Vec<i32>),
    I64(Vec<i64>),
    I8(Vec<i8>),
    U8(Vec<u8>),
}

impl Data {
    /// As ONNX numbers element types.
    fn element(&self) -> u64 {
        match self {
            Data::F32(_) => 1,
            Data::U8(_) => 2,
            Data::I8(_) => 3,
            Data::I32(_) => 6,
            Data::I64(_) => 7,
        }
    }

    fn bytes(&self) -> Vec<u8> {
        match self {
            Data::F32(x) => x.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Data::I32(x) => x.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Data::I64(x) => x.iter().flat_map(|x| x.to_le_bytes()).collect(),
            Data::I8(x) => x.iter().map(|&x| x as u8).collect(),
            Data::U8(x) => x.clone(),
        }
    }

    /// The same numbers over and over, `n` of them.
    pub fn resized(&self, n: usize) -> Data {
        fn cycle<T: Copy + Default>(x: &[T], n: usize) -> Vec<T> {
            let next = x.iter().copied().cycle().take(n);
            let mut found: Vec<T> = next.collect();
            found.resize(n, T::default());
            found
        }
        match self {
            Data::F32(x) => Data::F32(cycle(x, n)),
            Data::I32(x) => Data::I32(cycle(x, n)),
            Data::I64(x) => Data::I64(cycle(x, n)),
            Data::I8(x) => Data::I8(cycle(x, n)),
            Data::U8(x) => Data::U8(cycle(x, n)),
        }
    }
}

/// An input of the node.
#[derive(Debug, Clone)]
pub(super) struct Given {
    pub shape: Vec<usize>,
    pub data: Data,
    /// Part of the file, not given at a run.
    pub constant: bool,
}

impl Given {
    pub fn new(shape: &[usize], data: Data) -> Given {
        Given {
            data: data.resized(shape.iter().product()),
            shape: shape.to_vec(),
            constant: false,
        }
    }

    pub fn constant(self) -> Given {
        Given {
            constant: true,
            ..self
        }
    }

    fn value(&self) -> SessionInputValue<'static> {
        let shape = self.shape.clone();
        let value = match self.data.clone() {
            Data::F32(x) => Tensor::from_array((shape, x)).map(Tensor::into_dyn),
            Data::I32(x) => Tensor::from_array((shape, x)).map(Tensor::into_dyn),
            Data::I64(x) => Tensor::from_array((shape, x)).map(Tensor::into_dyn),
            Data::I8(x) => Tensor::from_array((shape, x)).map(Tensor::into_dyn),
            Data::U8(x) => Tensor::from_array((shape, x)).map(Tensor::into_dyn),
        };
        value.expect("a tensor").into()
    }
}

#[derive(Debug, Clone)]
pub(super) enum Attribute {
    Integer(i64),
    Integers(Vec<i64>),
    Float(f32),
}

/// A node with its inputs.
#[derive(Debug, Clone)]
pub(super) struct Model {
    pub domain: &'static str,
    pub operator: &'static str,
    /// An input without numbers is left out of the node.
    pub inputs: Vec<Option<Given>>,
    pub outputs: usize,
    pub attributes: Vec<(&'static str, Attribute)>,
}

impl Model {
    /// A node of our domain.
    pub fn new(operator: &'static str, inputs: Vec<Given>) -> Model {
        Model {
            domain: "mini_omni",
            operator,
            inputs: inputs.into_iter().map(Some).collect(),
            outputs: 1,
            attributes: Vec::new(),
        }
    }

    pub fn with(mut self, name: &'static str, attribute: Attribute) -> Model {
        self.attributes.push((name, attribute));
        self
    }

    /// Input `i`, to change.
    pub fn input(&mut self, i: usize) -> &mut Given {
        self.inputs[i].as_mut().expect("an input")
    }

    /// A session with the fastest kernels.
    pub fn open(&self, runtime: &Runtime) -> ort::Result<Session> {
        let kernels = all_kernels(runtime).into_iter().next();
        self.open_with(runtime, kernels.expect("kernels").1)
    }

    fn open_with(&self, runtime: &Runtime, kernels: OperatorDomain) -> ort::Result<Session> {
        Session::builder(&runtime.environment)?
            .with_intra_threads(2)?
            .with_log_level(ort::logging::LogLevel::Fatal)?
            // Every output an allocation of its own, so that a sanitizer sees its end.
            .with_execution_providers([CPU::default().with_arena_allocator(false).build()])?
            .with_operators(kernels)?
            .commit_from_memory(&self.file())
    }

    /// What the first output says, by every back end to the same bits, or why there is none.
    pub fn run(&self, runtime: &Runtime) -> ort::Result<(Vec<i64>, Vec<f32>)> {
        let mut all = all_kernels(runtime).into_iter().map(|(name, kernels)| {
            let session = self.open_with(runtime, kernels);
            (
                name,
                session.and_then(|mut session| self.run_in(&mut session)),
            )
        });
        let (first, expected) = all.next().expect("kernels");
        for (name, found) in all {
            match (&expected, &found) {
                (Ok((shape, x)), Ok((found, y))) => {
                    assert_eq!(shape, found, "{first} and {name}: {self:?}");
                    for (i, (x, y)) in x.iter().zip(y).enumerate() {
                        let same = x.to_bits() == y.to_bits() || x.is_nan() && y.is_nan();
                        let operator = self.operator;
                        assert!(
                            same,
                            "{operator}, number {i}: {x} by {first}, {y} by {name}"
                        );
                    }
                }
                (Err(expected), Err(found)) => assert_eq!(expected.to_string(), found.to_string()),
                _ => panic!("{first}: {expected:?}; {name}: {found:?}"),
            }
        }
        expected
    }

    pub fn run_in(&self, session: &mut Session) -> ort::Result<(Vec<i64>, Vec<f32>)> {
        let outputs = session.run(&self.given()[..])?;
        let (shape, y) = outputs["y0"].try_extract_tensor::<f32>()?;
        Ok((shape.to_vec(), y.to_vec()))
    }

    /// Inputs that a run gets.
    pub fn given(&self) -> Vec<SessionInputValue<'static>> {
        let inputs = self.inputs.iter().flatten();
        let given = inputs.filter(|input| !input.constant);
        given.map(Given::value).collect()
    }

    /// The file. Its field numbers are those of onnx.proto.
    pub fn file(&self) -> Vec<u8> {
        let mut node = Vec::new();
        let mut graph = Vec::new();
        for (i, input) in self.inputs.iter().enumerate() {
            let name = format!("x{i}");
            let Some(input) = input else {
                text(&mut node, 1, "");
                continue;
            };
            text(&mut node, 1, &name);
            if input.constant {
                let mut tensor = Vec::new();
                for &size in &input.shape {
                    integer(&mut tensor, 1, size as u64);
                }
                integer(&mut tensor, 2, input.data.element());
                text(&mut tensor, 8, &name);
                bytes(&mut tensor, 9, &input.data.bytes());
                bytes(&mut graph, 5, &tensor);
            } else {
                bytes(&mut graph, 11, &value(&name, input.data.element()));
            }
        }
        for i in 0..self.outputs {
            let name = format!("y{i}");
            text(&mut node, 2, &name);
            bytes(&mut graph, 12, &value(&name, 1));
        }
        text(&mut node, 4, self.operator);
        text(&mut node, 7, self.domain);
        for (name, attribute) in &self.attributes {
            bytes(&mut node, 5, &attribute.bytes(name));
        }
        bytes(&mut graph, 1, &node);
        text(&mut graph, 2, "graph");
        let mut model = Vec::new();
        integer(&mut model, 1, 10);
        bytes(&mut model, 7, &graph);
        for (domain, version) in [("", 21), ("mini_omni", 1), ("com.microsoft", 1)] {
            let mut opset = Vec::new();
            text(&mut opset, 1, domain);
            integer(&mut opset, 2, version);
            bytes(&mut model, 8, &opset);
        }
        model
    }
}

impl Attribute {
    fn bytes(&self, name: &str) -> Vec<u8> {
        let mut to = Vec::new();
        text(&mut to, 1, name);
        let kind = match self {
            Attribute::Float(x) => {
                varint(&mut to, 2 << 3 | 5);
                to.extend(x.to_le_bytes());
                1
            }
            Attribute::Integer(n) => {
                integer(&mut to, 3, *n as u64);
                2
            }
            Attribute::Integers(all) => {
                for n in all {
                    integer(&mut to, 8, *n as u64);
                }
                7
            }
        };
        integer(&mut to, 20, kind);
        to
    }
}

/// A tensor of any shape: its name and element type.
fn value(name: &str, element: u64) -> Vec<u8> {
    let (mut tensor, mut kind, mut value) = (Vec::new(), Vec::new(), Vec::new());
    integer(&mut tensor, 1, element);
    bytes(&mut kind, 1, &tensor);
    text(&mut value, 1, name);
    bytes(&mut value, 2, &kind);
    value
}

fn varint(to: &mut Vec<u8>, mut n: u64) {
    while n > 127 {
        to.push(n as u8 | 128);
        n >>= 7;
    }
    to.push(n as u8);
}

fn integer(to: &mut Vec<u8>, field: u64, n: u64) {
    varint(to, field << 3);
    varint(to, n);
}

fn bytes(to: &mut Vec<u8>, field: u64, x: &[u8]) {
    varint(to, field << 3 | 2);
    varint(to, x.len() as u64);
    to.extend(x);
}

fn text(to: &mut Vec<u8>, field: u64, x: &str) {
    bytes(to, field, x.as_bytes());
}
