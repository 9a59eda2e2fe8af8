//! Which value of one graph is which value of another, where the two hold their weights otherwise.
//!
//! A node is known by its weight and by what it does; one without a weight by its name, operator and the
//! weight before it: where a graph has more nodes than another their numbers run apart, and equal names
//! mean nothing.

use std::collections::{HashMap, HashSet};

use crate::model::inside::GraphNode;

/// What each value of a graph is matched by, and its name.
pub(super) fn keyed(nodes: &[GraphNode]) -> impl Iterator<Item = (String, String)> {
    let (mut anchor, mut seen) = (String::new(), HashMap::<&str, usize>::new());
    nodes.iter().enumerate().flat_map(move |(at, node)| {
        let known_as = stands_for(nodes, at);
        let weight = known_by(&nodes[known_as]);
        if let Some(weight) = weight.filter(|_| known_as == at) {
            let nth = seen.entry(weight).or_default();
            *nth += 1;
            anchor = format!("{weight} {nth}");
        }
        let does = does(&nodes[known_as].operator);
        let key = |(i, name): (usize, &String)| match weight {
            Some(_) => (format!("{anchor} {does} {i}"), name.clone()),
            None => (format!("{anchor} {does} {name}"), name.clone()),
        };
        let outputs = node.outputs.iter().enumerate();
        outputs.map(key).collect::<Vec<_>>()
    })
}

/// Values in 16 bits are not compared; the node that widens those of a product stands for it. Any other
/// node stands for itself.
pub(super) fn stands_for(nodes: &[GraphNode], at: usize) -> usize {
    let widened = nodes[at]
        .inputs
        .first()
        .filter(|_| nodes[at].operator == "Cast");
    let made = |node: &GraphNode| node.outputs.first() == widened && known_by(node).is_some();
    let before = widened.and_then(|_| nodes[..at].iter().rposition(made));
    before.unwrap_or(at)
}

/// The weight that comes last into a node: a product with its bias is what adding the bias gives.
/// Scales, absent biases and the exporter's numbered constants do not count, nor do endings that it
/// gives to the same weight in another graph.
fn known_by(node: &GraphNode) -> Option<&str> {
    let counts = |name: &&String| {
        let beside = [".scale", ".no_bias"].iter().any(|end| name.ends_with(end));
        !beside && !name.starts_with("const_")
    };
    let name = node.weights.iter().rfind(counts)?;
    let name = name.strip_suffix(".rows").unwrap_or(name);
    match name.rsplit_once('.') {
        Some((before, number)) if number.bytes().all(|b| b.is_ascii_digit()) => Some(before),
        _ => Some(name),
    }
}

/// What an operator does to its weight, in any precision.
fn does(operator: &str) -> &str {
    match operator {
        "MatMul" | "MatMulNBits" | "Linear4" | "Linear8" | "Add" => "product",
        "Gather" | "GatherBlockQuantized" => "rows",
        other => other,
    }
}

/// The nodes at the end of `before` that the other graph does not have.
pub(super) fn unmatched(before: &[GraphNode], shared: &[(String, String)]) -> Vec<String> {
    let known: HashSet<&str> = shared.iter().map(|(_, name)| name.as_str()).collect();
    let matched = |node: &&GraphNode| node.outputs.iter().any(|name| known.contains(&**name));
    let last = before.iter().rev().take_while(|node| !matched(node));
    let mut names: Vec<String> = last.map(|node| node.name.clone()).collect();
    names.reverse();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::inside::nodes;

    fn graph(profile: &str) -> Vec<GraphNode> {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny");
        let graph = std::fs::read(format!("{folder}/{profile}/decoder.onnx")).expect("a graph");
        nodes(&graph).expect("nodes")
    }

    #[test]
    fn nodes_of_two_profiles_are_matched_by_their_weights() {
        let (fused, portable) = (graph("fused"), graph("portable"));
        let known: HashMap<String, String> = keyed(&fused).collect();
        let pairs = keyed(&portable).filter_map(|(key, b)| Some((known.get(&key)?.clone(), b)));
        let pairs: HashMap<String, String> = pairs.collect();
        let product = |nodes: &[GraphNode]| {
            let weight = "transformer.h.1.mlp.proj.weight".to_string();
            let node = nodes.iter().find(|node| node.weights.contains(&weight));
            node.expect("a product").outputs[0].clone()
        };
        assert_ne!(product(&fused), product(&portable));
        assert_eq!(pairs[&product(&fused)], product(&portable));
        assert!(pairs.len() > 20, "{}", pairs.len());
    }

    #[test]
    fn a_node_is_known_by_the_weight_that_comes_last() {
        let known = |weights: &[&str]| {
            let node = GraphNode {
                weights: weights.iter().map(|name| name.to_string()).collect(),
                ..GraphNode::default()
            };
            known_by(&node).map(str::to_string)
        };
        for (weights, expected) in [
            (
                &["q.weight", "q.weight.scale", "q.bias"][..],
                Some("q.bias"),
            ),
            (
                &["k.weight", "k.weight.scale", "k.no_bias"],
                Some("k.weight"),
            ),
            (
                &["embedding.text.rows", "embedding.text.scale"],
                Some("embedding.text"),
            ),
            (&["ln.weight.19", "ln.bias.19"], Some("ln.bias")),
            (&["const_84"], None),
        ] {
            assert_eq!(known(weights).as_deref(), expected);
        }
    }
}
