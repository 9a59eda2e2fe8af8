//! Small graphs that this crate makes itself, for what is done where tensors live: rows moved from one
//! cache to another, the likeliest ids. All their operators have CUDA kernels
//! (`export/tests/test_cuda.py`).

use ort::editor::{Graph, Model, Node, ONNX_DOMAIN, Opset};
use ort::operator::Attribute;
use ort::session::Session;
use ort::value::{Outlet, Shape, SymbolicDimensions, TensorElementType, ValueType};

use super::place::Element;
use super::runtime::Runtime;
use super::session::{SessionOptions, builder, zeros};

/// Of the operators in the graphs.
const OPSET: u32 = 21;

/// A graph that is being made.
pub(super) struct Sketch {
    graph: Graph,
    inputs: Vec<Outlet>,
    outputs: Vec<Outlet>,
    n_nodes: usize,
}

impl Sketch {
    pub fn new() -> ort::Result<Sketch> {
        Ok(Sketch {
            graph: Graph::new()?,
            inputs: Vec::new(),
            outputs: Vec::new(),
            n_nodes: 0,
        })
    }

    /// Declares an input of so many dimensions, all of which vary.
    pub fn input<'n>(&mut self, name: &'n str, ty: TensorElementType, rank: usize) -> &'n str {
        self.inputs.push(outlet(name, ty, rank));
        name
    }

    /// A constant; one number is a scalar.
    pub fn constant<T: Element>(&mut self, name: &str, values: &[T]) -> ort::Result<String> {
        let shape = match values.len() {
            1 => vec![],
            n => vec![n],
        };
        self.constant_of(name, &shape, values)
    }

    /// A constant of a shape.
    pub fn constant_of<T: Element>(
        &mut self,
        name: &str,
        shape: &[usize],
        values: &[T],
    ) -> ort::Result<String> {
        let mut tensor = zeros::<T>(shape)?;
        tensor.extract_tensor_mut().1.copy_from_slice(values);
        self.graph.add_initializer(name, tensor, false)?;
        Ok(name.to_string())
    }

    /// Adds a node of one output, and gives the output's name.
    pub fn node(
        &mut self,
        operator: &str,
        inputs: &[&str],
        attributes: &[(&str, i64)],
    ) -> ort::Result<String> {
        self.n_nodes += 1;
        let output = format!("{operator}_{}", self.n_nodes);
        let attributes = attributes.iter().map(|&(name, n)| Attribute::new(name, n));
        let attributes: Vec<_> = attributes.collect::<ort::Result<_>>()?;
        let node = Node::new(
            operator,
            ONNX_DOMAIN,
            &output,
            inputs,
            [&output],
            attributes,
        )?;
        self.graph.add_node(node)?;
        Ok(output)
    }

    /// Hands out a value as the output `name`.
    pub fn output(
        &mut self,
        name: &str,
        value: &str,
        (ty, rank): (TensorElementType, usize),
    ) -> ort::Result<()> {
        let last = Node::new("Identity", ONNX_DOMAIN, name, [value], [name], [])?;
        self.graph.add_node(last)?;
        self.outputs.push(outlet(name, ty, rank));
        Ok(())
    }

    /// Opens the graph.
    pub fn open(mut self, runtime: &Runtime) -> ort::Result<Session> {
        self.graph.set_inputs(self.inputs)?;
        self.graph.set_outputs(self.outputs)?;
        let mut model = Model::new([Opset::new(ONNX_DOMAIN, OPSET)?])?;
        model.set_graph(self.graph)?;
        let options = SessionOptions {
            threads: 1,
            spin: false,
            arena: true,
            replayed: false,
        };
        model.into_session(&builder(runtime, options)?)
    }
}

fn outlet(name: &str, ty: TensorElementType, rank: usize) -> Outlet {
    let ty = ValueType::Tensor {
        ty,
        shape: Shape::new(std::iter::repeat_n(-1, rank)),
        dimension_symbols: SymbolicDimensions::empty(rank),
    };
    Outlet::new(name, ty)
}
