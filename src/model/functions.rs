//! How large a graph becomes when its functions are put in the place of the nodes that call them.
//!
//! ONNX Runtime does so when it opens a graph. Functions that call each other twice each double it
//! with every level, so that a file of some kilobytes would take it for ever.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::graph_file::malformed;

/// Nodes of a graph with its functions put in; the published decoder has some thousands.
const MOST_NODES: u64 = 100_000;
/// Functions within functions; our own graphs have one level.
const DEEPEST: usize = 32;

/// What the nodes of a graph, or of a function, call: operators and how many nodes of each.
pub(super) type Calls = BTreeMap<String, u64>;

/// The graph's own nodes, and those of each function, by domain and name.
#[derive(Default)]
pub(super) struct Functions {
    pub graph: Calls,
    pub bodies: BTreeMap<String, Calls>,
}

impl Functions {
    /// Refuses a graph that would become too large, or never end.
    pub fn check(&self) -> io::Result<()> {
        let mut sizes = BTreeMap::new();
        let mut open = BTreeSet::new();
        match self.size(&self.graph, &mut sizes, &mut open)? {
            0..=MOST_NODES => Ok(()),
            _ => Err(malformed("its functions make it larger than any model")),
        }
    }

    /// Nodes of `calls` with the functions put in. `sizes` keeps those known, `open` those begun.
    fn size<'a>(
        &'a self,
        calls: &'a Calls,
        sizes: &mut BTreeMap<&'a str, u64>,
        open: &mut BTreeSet<&'a str>,
    ) -> io::Result<u64> {
        let mut nodes: u64 = 0;
        for (name, &n) in calls {
            let each = match self.bodies.get_key_value(name) {
                None => 1,
                Some((name, body)) => self.body_size(name, body, sizes, open)?,
            };
            nodes = nodes.saturating_add(n.saturating_mul(each.max(1)));
        }
        Ok(nodes)
    }

    fn body_size<'a>(
        &'a self,
        name: &'a str,
        body: &'a Calls,
        sizes: &mut BTreeMap<&'a str, u64>,
        open: &mut BTreeSet<&'a str>,
    ) -> io::Result<u64> {
        if let Some(&size) = sizes.get(name) {
            return Ok(size);
        }
        if open.len() >= DEEPEST || !open.insert(name) {
            return Err(malformed("its functions call each other without end"));
        }
        let size = self.size(body, sizes, open)?;
        open.remove(name);
        sizes.insert(name, size);
        Ok(size)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Functions F0, F1, … of which each calls the next `n` times, the last one an operator.
    fn chain(length: usize, n: u64) -> Functions {
        let calls = |i: usize| Calls::from([(format!("F{i}"), n)]);
        Functions {
            graph: calls(0),
            bodies: (0..length)
                .map(|i| (format!("F{i}"), calls(i + 1)))
                .collect(),
        }
    }

    #[test]
    fn graphs_that_grow_beyond_bounds_are_refused() {
        assert!(chain(1, 50).check().is_ok());
        assert!(chain(16, 1).check().is_ok());
        assert!(chain(20, 2).check().is_err(), "doubled 20 times");
        assert!(chain(3, u64::MAX).check().is_err());
        assert!(chain(10_000, 1).check().is_err(), "nested without end");
        let mut circle = chain(3, 1);
        circle
            .bodies
            .insert("F3".into(), Calls::from([("F0".into(), 1)]));
        assert!(circle.check().is_err());
    }
}
