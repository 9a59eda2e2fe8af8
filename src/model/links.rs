//! Model folders whose files are links to elsewhere: a hub's cache, Nix, DVC, mounted volumes.
//!
//! ONNX Runtime follows a link to a graph, but refuses data files that lie outside the graph's folder
//! once links are followed. Such a graph is given to it from memory instead, with the names of its data
//! files replaced by where they are: it maps them as ever. Which files a model may use is decided
//! before, by the names in the folder; whoever made the links may read what they lead to.

use std::fs;
use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use super::graph_file::{self, Content, Kind, Reader, child, malformed};

/// Bytes of a graph that is read into memory to be changed: its weights lie beside it.
const LARGEST_GRAPH: u64 = 256 << 20;

/// A graph with the names of its data files made paths below `base`.
pub(crate) struct Relinked {
    pub graph: Vec<u8>,
    pub base: PathBuf,
}

/// The graph in `path` for ONNX Runtime to read from memory; `None` where it can open the file.
pub(crate) fn relinked(path: &Path) -> io::Result<Option<Relinked>> {
    let folder = path.parent().unwrap_or(Path::new("."));
    let names: Vec<String> = graph_file::data_files(path)?.into_keys().collect();
    let real = |name: &String| fs::canonicalize(folder.join(name));
    let files: Vec<PathBuf> = names.iter().map(real).collect::<io::Result<_>>()?;
    let here = fs::canonicalize(folder)?;
    if files.iter().all(|file| file.starts_with(&here)) {
        return Ok(None);
    }
    if fs::metadata(path)?.len() > LARGEST_GRAPH {
        let why =
            "its data file is a link to another folder and the graph is too large to follow it";
        return Err(malformed(why));
    }
    let base = common_folder(&files);
    let rename = |name: &str| {
        let i = names.iter().position(|known| known == name)?;
        let below = files[i].strip_prefix(&base).ok()?.to_str()?;
        Some(below.replace(std::path::MAIN_SEPARATOR, "/"))
    };
    let graph = fs::read(path)?;
    let graph = renamed(&graph, Kind::Model, &rename)?;
    Ok(Some(Relinked { graph, base }))
}

/// The deepest folder that holds all of `files`.
fn common_folder(files: &[PathBuf]) -> PathBuf {
    let holds_all = |folder: &&Path| files.iter().all(|file| file.starts_with(folder));
    let above = files.first().into_iter().flat_map(|file| file.ancestors());
    let found = above.skip(1).find(holds_all);
    found.unwrap_or(Path::new("/")).to_path_buf()
}

/// A message with every location in it replaced. Its structure was walked before.
fn renamed(
    message: &[u8],
    kind: Kind,
    rename: &dyn Fn(&str) -> Option<String>,
) -> io::Result<Vec<u8>> {
    let mut reader = Reader::new(Cursor::new(message));
    let mut out = Vec::with_capacity(message.len());
    let end = message.len() as u64;
    let mut start = 0;
    while let Some((field, content)) = reader.field(end)? {
        let stop = match content {
            Content::Bytes(stop) => stop,
            Content::Number => reader.at,
        };
        let inside = &message[reader.at as usize..stop as usize];
        match child(kind, field) {
            Some(Kind::Entry) => push(&mut out, field, &renamed_entry(inside, rename)?),
            Some(kind) => push(&mut out, field, &renamed(inside, kind, rename)?),
            None => out.extend_from_slice(&message[start..stop as usize]),
        }
        reader.skip_to(stop)?;
        start = stop as usize;
    }
    Ok(out)
}

fn renamed_entry(entry: &[u8], rename: &dyn Fn(&str) -> Option<String>) -> io::Result<Vec<u8>> {
    let (key, value) = Reader::new(Cursor::new(entry)).entry(entry.len() as u64)?;
    if key != "location" {
        return Ok(entry.to_vec());
    }
    let there =
        rename(&value).ok_or_else(|| malformed("a link leads to a path that is no text"))?;
    let mut out = Vec::new();
    push(&mut out, 1, key.as_bytes());
    push(&mut out, 2, there.as_bytes());
    Ok(out)
}

/// Appends a field of bytes.
pub(super) fn push(out: &mut Vec<u8>, field: u64, content: &[u8]) {
    push_number(out, field << 3 | 2);
    push_number(out, content.len() as u64);
    out.extend_from_slice(content);
}

fn push_number(out: &mut Vec<u8>, mut number: u64) {
    while number > 0x7f {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

#[cfg(test)]
mod tests {
    use super::super::graph_file::tests::{model, tensor};
    use super::*;

    #[test]
    fn locations_are_replaced_and_nothing_else_is_changed() {
        let rename = |name: &str| Some(format!("{}/{name}", "deep/".repeat(40)));
        let of = |a: &str, b: &str| model(&tensor(a, "64", "9"), &tensor(b, "0", "7"));
        let there = |name: &str| rename(name).expect("a name");
        let found = renamed(&of("a", "b"), Kind::Model, &rename).expect("a graph");
        assert_eq!(found, of(&there("a"), &there("b")));
    }

    #[test]
    fn the_committed_graphs_are_the_same_when_written_again() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny/portable");
        for graph in ["encoder", "decoder", "codec_decoder", "codec_encoder"] {
            let bytes = fs::read(format!("{folder}/{graph}.onnx")).expect("a graph");
            let same = renamed(&bytes, Kind::Model, &|name| Some(name.into())).expect("a graph");
            assert!(same == bytes, "{graph}");
        }
    }

    #[test]
    fn files_share_the_folder_above_both() {
        let files = ["/a/b/c/1", "/a/b/d/2"].map(PathBuf::from);
        assert_eq!(common_folder(&files), Path::new("/a/b"));
        assert_eq!(common_folder(&files[..1]), Path::new("/a/b/c"));
        let files = ["/a/1", "/b/2"].map(PathBuf::from);
        assert_eq!(common_folder(&files), Path::new("/"));
    }
}
