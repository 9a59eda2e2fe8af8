//! The library's layers, held against its imports: each knows only those before it.

use std::fs;
use std::path::{Path, PathBuf};

/// From the ground up. `docs/architecture.md` says what each owns.
const LAYERS: [&str; 17] = [
    "fence",
    "sync",
    "error",
    "model",
    "audio",
    "decoding",
    "ask",
    "trace",
    "graph",
    "hearing",
    "engine",
    "omni",
    "scheduler",
    "session",
    "compare",
    "eval",
    "measure",
];

fn sources(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).expect("a folder").flatten();
    let below = |path: PathBuf| match path.is_dir() {
        true => sources(&path),
        false => vec![path],
    };
    let files = entries.flat_map(|entry| below(entry.path()));
    files
        .filter(|path| path.extension().is_some_and(|e| e == "rs"))
        .collect()
}

/// The layers that a source names as `crate::layer`, its tests left out.
fn named(source: &str) -> impl Iterator<Item = &str> {
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let lines = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"));
    lines
        .flat_map(|line| line.split("crate::").skip(1))
        .map(|rest| {
            let end = rest.find(|c: char| !c.is_alphanumeric() && c != '_');
            &rest[..end.unwrap_or(rest.len())]
        })
}

#[test]
fn every_layer_knows_only_those_before_it() {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let level = |name: &str| LAYERS.iter().position(|layer| *layer == name);
    for path in sources(&src) {
        let own = path.strip_prefix(&src).expect("below src");
        let first = own.iter().next().expect("a name").to_string_lossy();
        if ["cli", "serve", "lib.rs", "main.rs"].contains(&&*first) {
            continue; // the binary uses the library from outside
        }
        let own_level = level(first.trim_end_matches(".rs"));
        assert!(own_level.is_some(), "{} is in no layer", own.display());
        let source = fs::read_to_string(&path).expect("a source");
        for layer in named(&source) {
            let level = level(layer);
            assert!(
                level.is_some(),
                "{}: crate::{layer} is no layer",
                own.display()
            );
            assert!(
                level <= own_level,
                "{} must not know {layer}",
                own.display()
            );
        }
    }
}
