//! Which data files a graph file names, read from the graph itself.
//!
//! An .onnx file is a protobuf message; its large tensors name a file beside it, an offset and a
//! length. ONNX Runtime maps these files, so what they are is known before it is asked to: every one
//! must be a listed file of the folder and long enough. The walk reads tags and the few short texts it
//! wants (and which operators nodes call: `functions`), skips everything else unread, and never goes deeper than graphs do.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek, SeekFrom};
use std::path::Path;

use super::functions::{Calls, Functions};

/// Messages inside messages; a graph within a node within a graph takes four.
const DEEPEST: usize = 64;
/// Bytes of a text beside a tensor: a path or a number.
const LONGEST_TEXT: u64 = 4096;

/// A kind of message that leads to external data.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Model,
    Graph,
    Function,
    Node,
    Attribute,
    Sparse,
    Training,
    Tensor,
    /// A key and its value beside a tensor.
    Entry,
}

/// The kind of the message in a field of another, by the numbers in onnx.proto.
pub(super) fn child(kind: Kind, field: u64) -> Option<Kind> {
    Some(match (kind, field) {
        (Kind::Model, 7) => Kind::Graph,
        (Kind::Model, 20) => Kind::Training,
        (Kind::Model, 25) => Kind::Function,
        (Kind::Training, 1 | 2) => Kind::Graph,
        (Kind::Graph, 1) | (Kind::Function, 7) => Kind::Node,
        (Kind::Function, 11) => Kind::Attribute,
        (Kind::Graph, 5) | (Kind::Sparse, 1 | 2) | (Kind::Attribute, 5 | 10) => Kind::Tensor,
        (Kind::Graph, 15) | (Kind::Attribute, 22 | 23) => Kind::Sparse,
        (Kind::Node, 5) => Kind::Attribute,
        (Kind::Attribute, 6 | 11) => Kind::Graph,
        (Kind::Tensor, 13) => Kind::Entry,
        _ => return None,
    })
}

/// Each data file that the graph in `path` names, with the bytes it needs to have.
pub(super) fn data_files(path: &Path) -> io::Result<BTreeMap<String, u64>> {
    let file = File::open(path)?;
    let length = file.metadata()?.len();
    let mut walk = Walk {
        reader: Reader::new(BufReader::new(file)),
        files: BTreeMap::new(),
        functions: Functions::default(),
        calls: Calls::new(),
    };
    walk.message(Kind::Model, length, 0)?;
    walk.functions.check()?;
    Ok(walk.files)
}

/// The file is none that this walk understands.
pub(super) fn malformed(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

struct Walk<R> {
    reader: Reader<R>,
    /// By name, the end of the last range in it.
    files: BTreeMap<String, u64>,
    functions: Functions,
    /// Of the graph or function being read.
    calls: Calls,
}

/// Domain and name of a node's operator, or of a function.
#[derive(Default)]
struct Name {
    domain: String,
    name: String,
}

/// Where a tensor's values lie.
#[derive(Default)]
struct Range {
    location: Option<String>,
    offset: u64,
    length: u64,
}

impl<R: Read + Seek> Walk<R> {
    /// Reads a message that ends at `end`.
    fn message(&mut self, kind: Kind, end: u64, depth: usize) -> io::Result<()> {
        if depth > DEEPEST {
            return Err(malformed("its graphs are nested too deeply"));
        }
        let (mut range, mut name) = (Range::default(), Name::default());
        while let Some((field, content)) = self.reader.field(end)? {
            let Content::Bytes(stop) = content else {
                continue;
            };
            match child(kind, field) {
                Some(Kind::Entry) => self.entry(stop, &mut range)?,
                Some(kind) => self.message(kind, stop, depth + 1)?,
                None => match (kind, field) {
                    (Kind::Node, 4) | (Kind::Function, 1) => name.name = self.reader.text(stop)?,
                    (Kind::Node, 7) | (Kind::Function, 10) => {
                        name.domain = self.reader.text(stop)?;
                    }
                    _ => self.reader.skip_to(stop)?,
                },
            }
        }
        self.count(kind, depth, name);
        self.keep(range)
    }

    /// Counts a node that ends here; a function or the graph that ends here has those counted so far.
    fn count(&mut self, kind: Kind, depth: usize, Name { domain, name }: Name) {
        let name = format!("{domain}:{name}");
        match kind {
            Kind::Node => *self.calls.entry(name).or_default() += 1,
            Kind::Function => {
                let calls = std::mem::take(&mut self.calls);
                let body = self.functions.bodies.entry(name).or_default();
                calls
                    .into_iter()
                    .for_each(|(name, n)| *body.entry(name).or_default() += n);
            }
            Kind::Graph if depth == 1 => {
                let calls = std::mem::take(&mut self.calls);
                let graph = &mut self.functions.graph;
                calls
                    .into_iter()
                    .for_each(|(name, n)| *graph.entry(name).or_default() += n);
            }
            _ => {}
        }
    }

    fn entry(&mut self, end: u64, range: &mut Range) -> io::Result<()> {
        let (key, value) = self.reader.entry(end)?;
        let number = || {
            let number = value.trim().parse();
            number.map_err(|_| malformed("an offset or a length in it is no number"))
        };
        match key.as_str() {
            "location" if range.location.is_some() => {
                return Err(malformed("a tensor in it lies in two files"));
            }
            "location" => range.location = Some(value),
            "offset" => range.offset = number()?,
            "length" => range.length = number()?,
            _ => {}
        }
        Ok(())
    }

    fn keep(&mut self, range: Range) -> io::Result<()> {
        let Some(location) = range.location else {
            return Ok(());
        };
        let end = range
            .offset
            .checked_add(range.length)
            .ok_or_else(|| malformed("an offset in it lies beyond every file"))?;
        let longest = self.files.entry(location).or_default();
        *longest = end.max(*longest);
        Ok(())
    }
}

/// What stands in a field.
pub(super) enum Content {
    /// A number, already passed.
    Number,
    /// Bytes from here to this position.
    Bytes(u64),
}

/// Reads protobuf, knowing where it is.
pub(super) struct Reader<R> {
    inner: R,
    pub at: u64,
}

impl<R: Read + Seek> Reader<R> {
    pub fn new(inner: R) -> Reader<R> {
        Reader { inner, at: 0 }
    }

    /// The next field of a message that ends at `end`, or `None` there.
    pub fn field(&mut self, end: u64) -> io::Result<Option<(u64, Content)>> {
        if self.at == end {
            return Ok(None);
        }
        let tag = self.number(end)?;
        let content = match tag & 7 {
            0 => self.number(end).map(|_| Content::Number)?,
            1 => self.skip_to(self.at + 8).map(|()| Content::Number)?,
            2 => Content::Bytes(self.number(end)?.saturating_add(self.at)),
            5 => self.skip_to(self.at + 4).map(|()| Content::Number)?,
            _ => return Err(malformed("it is no protobuf")),
        };
        let past = match content {
            Content::Bytes(stop) => stop,
            Content::Number => self.at,
        };
        if past > end {
            return Err(malformed("it is cut, or no protobuf"));
        }
        Ok(Some((tag >> 3, content)))
    }

    /// A number in pieces of 7 bits, the lowest first.
    fn number(&mut self, end: u64) -> io::Result<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            if self.at >= end {
                return Err(malformed("it is cut, or no protobuf"));
            }
            let mut byte = [0];
            self.inner.read_exact(&mut byte)?;
            self.at += 1;
            number |= u64::from(byte[0] & 0x7f) << shift;
            if byte[0] < 0x80 {
                return Ok(number);
            }
        }
        Err(malformed("it is no protobuf"))
    }

    pub fn skip_to(&mut self, position: u64) -> io::Result<()> {
        let step = i64::try_from(position - self.at).map_err(|_| malformed("it is no protobuf"))?;
        self.inner.seek(SeekFrom::Current(step))?;
        self.at = position;
        Ok(())
    }

    /// Key and value of an entry that ends at `end`.
    pub fn entry(&mut self, end: u64) -> io::Result<(String, String)> {
        let (mut key, mut value) = (String::new(), String::new());
        while let Some((field, content)) = self.field(end)? {
            match (field, content) {
                (1, Content::Bytes(stop)) => key = self.text(stop)?,
                (2, Content::Bytes(stop)) => value = self.text(stop)?,
                (_, Content::Bytes(stop)) => self.skip_to(stop)?,
                _ => {}
            }
        }
        Ok((key, value))
    }

    fn text(&mut self, end: u64) -> io::Result<String> {
        if end - self.at > LONGEST_TEXT {
            return Err(malformed("a text beside a tensor in it is too long"));
        }
        let mut bytes = vec![0; (end - self.at) as usize];
        self.inner.read_exact(&mut bytes)?;
        self.at = end;
        String::from_utf8(bytes).map_err(|_| malformed("a file name in it is no text"))
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A field of bytes.
    pub fn bytes(field: u8, content: &[u8]) -> Vec<u8> {
        let mut out = vec![field << 3 | 2];
        let mut length = content.len();
        while length > 127 {
            out.push(length as u8 | 0x80);
            length >>= 7;
        }
        out.push(length as u8);
        out.extend_from_slice(content);
        out
    }

    /// A tensor that lies in a file.
    pub fn tensor(location: &str, offset: &str, length: &str) -> Vec<u8> {
        [
            ("location", location),
            ("offset", offset),
            ("length", length),
        ]
        .iter()
        .flat_map(|(key, value)| {
            let entry = [bytes(1, key.as_bytes()), bytes(2, value.as_bytes())];
            bytes(13, &entry.concat())
        })
        .collect()
    }

    /// A model whose graph has one tensor, and one in a graph inside a node.
    pub fn model(first: &[u8], nested: &[u8]) -> Vec<u8> {
        let inner = bytes(5, nested);
        let node = bytes(1, &bytes(5, &bytes(6, &inner)));
        bytes(7, &[bytes(5, first), node].concat())
    }

    fn walk(model: &[u8]) -> io::Result<BTreeMap<String, u64>> {
        let folder = tempfile::tempdir()?;
        let path = folder.path().join("a.onnx");
        std::fs::write(&path, model)?;
        data_files(&path)
    }

    #[test]
    fn every_data_file_is_found_with_the_bytes_it_needs() {
        let first = tensor("a.data", "64", "100");
        let files = walk(&model(&first, &tensor("b.data", "0", "7"))).expect("a graph");
        let expected = [("a.data".to_string(), 164), ("b.data".to_string(), 7)];
        assert_eq!(files, BTreeMap::from(expected));
    }

    #[test]
    fn the_committed_graphs_name_the_file_beside_them() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tiny/fused");
        for graph in ["encoder", "decoder", "codec_decoder", "codec_encoder"] {
            let path = Path::new(folder).join(format!("{graph}.onnx"));
            let data = std::fs::metadata(format!("{folder}/{graph}.onnx.data")).expect("data");
            let files = data_files(&path).expect("a graph");
            let (name, end) = files.first_key_value().expect("a data file");
            assert_eq!((files.len(), name), (1, &format!("{graph}.onnx.data")));
            assert!(*end <= data.len() && *end + 4096 > data.len());
        }
    }

    #[test]
    fn damaged_graphs_are_refused_and_never_read_beyond_their_end() {
        let whole = model(&tensor("a", "0", "1"), &tensor("b", "0", "1"));
        for cut in 1..whole.len() {
            assert!(walk(&whole[..cut]).is_err(), "cut at {cut}");
        }
        let deep = (0..200).fold(Vec::new(), |inner, _| {
            bytes(1, &bytes(5, &bytes(6, &inner)))
        });
        assert!(walk(&bytes(7, &deep)).is_err());
        for bad in [
            model(&tensor("a", "18446744073709551615", "1"), &[]),
            model(&tensor("a", "-1", "1"), &[]),
            model(&tensor(&"a".repeat(5000), "0", "1"), &[]),
            vec![7; 100],
            vec![0xff; 100],
            vec![
                0x3a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01,
            ],
        ] {
            assert!(walk(&bad).is_err());
        }
        assert_eq!(walk(&[]).expect("an empty model").len(), 0);
    }
}
