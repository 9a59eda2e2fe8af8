//! What is inside a graph: its nodes by name, and the same graph with some of their outputs among its
//! own, so that ONNX Runtime hands them out.

use std::collections::HashSet;
use std::io::{self, Cursor};

use super::graph_file::{Content, Reader, malformed};
use super::links::push;

// Numbers of fields in onnx.proto.
const GRAPH: u64 = 7;
const NODE: u64 = 1;
const INITIALIZER: u64 = 5;
const OUTPUT: u64 = 12;
const TENSOR_NAME: u64 = 8;
const VALUE_NAME: u64 = 1;

/// A node of a graph, by the names in its file.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GraphNode {
    pub name: String,
    pub operator: String,
    /// What it takes, weights and all.
    pub inputs: Vec<String>,
    /// Weights among its inputs.
    pub weights: Vec<String>,
    /// What it gives to other nodes; without the graph's own outputs.
    pub outputs: Vec<String>,
}

/// The nodes of the model in `model`, in the order of its file: each after those that it needs. Nodes
/// inside the branches of others are not among them.
pub(crate) fn nodes(model: &[u8]) -> io::Result<Vec<GraphNode>> {
    let (mut nodes, mut weights, mut given) = (Vec::new(), HashSet::new(), HashSet::new());
    for (field, graph) in messages(model)? {
        if field != GRAPH {
            continue;
        }
        for (field, message) in messages(graph)? {
            match field {
                NODE => nodes.push(node(message)?),
                INITIALIZER => weights.extend(text(message, TENSOR_NAME)?),
                OUTPUT => given.extend(text(message, VALUE_NAME)?),
                _ => {}
            }
        }
    }
    for node in &mut nodes {
        let taken = node.inputs.iter().filter(|input| weights.contains(*input));
        node.weights = taken.cloned().collect();
        node.outputs.retain(|output| !given.contains(output));
    }
    Ok(nodes)
}

/// The model with the values `names` among its outputs. Two messages in one field of protobuf are
/// read as one, so what is appended joins the graph, and nothing of it has to be written again.
pub(crate) fn with_outputs(mut model: Vec<u8>, names: &[String]) -> Vec<u8> {
    let mut graph = Vec::new();
    for name in names {
        let mut value = Vec::new();
        push(&mut value, VALUE_NAME, name.as_bytes());
        push(&mut graph, OUTPUT, &value);
    }
    push(&mut model, GRAPH, &graph);
    model
}

fn node(message: &[u8]) -> io::Result<GraphNode> {
    let mut node = GraphNode::default();
    for (field, content) in messages(message)? {
        let text = || utf8(content);
        match field {
            1 => node.inputs.push(text()?),
            2 if !content.is_empty() => node.outputs.push(text()?),
            3 => node.name = text()?,
            4 => node.operator = text()?,
            _ => {}
        }
    }
    Ok(node)
}

/// The text in a field of a message.
fn text(message: &[u8], wanted: u64) -> io::Result<Option<String>> {
    let fields = messages(message)?.into_iter();
    let mut found = fields.filter(|(field, _)| *field == wanted);
    found.next().map(|(_, content)| utf8(content)).transpose()
}

fn utf8(content: &[u8]) -> io::Result<String> {
    String::from_utf8(content.to_vec()).map_err(|_| malformed("a name in it is no text"))
}

/// The fields of a message that hold bytes.
fn messages(message: &[u8]) -> io::Result<Vec<(u64, &[u8])>> {
    let mut reader = Reader::new(Cursor::new(message));
    let mut found = Vec::new();
    while let Some((field, content)) = reader.field(message.len() as u64)? {
        if let Content::Bytes(stop) = content {
            found.push((field, &message[reader.at as usize..stop as usize]));
            reader.skip_to(stop)?;
        }
    }
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(name: &str) -> Vec<u8> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny/fused");
        std::fs::read(format!("{folder}/{name}.onnx")).expect("a graph")
    }

    #[test]
    fn nodes_come_with_their_weights_and_outputs() {
        let nodes = nodes(&graph("decoder")).expect("a graph");
        let attention = nodes.iter().find(|node| node.operator == "CachedAttention");
        let attention = attention.expect("attention");
        assert_eq!(
            attention.outputs,
            ["attention.0"],
            "the cache is the graph's"
        );
        assert_eq!(attention.weights, ["rotary.cos", "rotary.sin"]);
        assert_eq!(attention.inputs.len(), 7);
    }

    #[test]
    fn outputs_that_were_asked_for_are_given() {
        let before = graph("encoder");
        let names = ["Gelu_2".to_string(), "Conv_3".to_string()];
        let after = nodes(&with_outputs(before.clone(), &names)).expect("a graph");
        let inside = |nodes: &[GraphNode]| nodes.iter().flat_map(|n| n.outputs.clone()).count();
        assert_eq!(
            inside(&after) + 2,
            inside(&nodes(&before).expect("a graph"))
        );
    }

    #[test]
    fn damaged_graphs_are_refused() {
        let whole = graph("encoder");
        assert!(nodes(&whole[..whole.len() / 2]).is_err());
        assert!(nodes(&[0xff; 40]).is_err());
    }
}
