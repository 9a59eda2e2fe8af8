//! Recordings of every format, whole and damaged, through the reader.

mod damage;
mod formats;
mod limits;
mod wavs;

use std::fs;
use std::path::PathBuf;

use super::read_bytes;

/// Every recording of the fixtures that is small: sines in each format.
fn fixtures() -> Vec<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/audio");
    let sines = ["sine.flac", "sine.mp3", "sine.ogg"].map(|name| folder.join(name));
    let formats = fs::read_dir(folder.join("formats")).unwrap();
    let mut all: Vec<PathBuf> = formats.map(|file| file.unwrap().path()).collect();
    all.extend(sines);
    all.sort();
    all
}

pub(super) fn fixture(name: &str) -> Vec<u8> {
    let path = fixtures().into_iter().find(|path| path.ends_with(name));
    fs::read(path.unwrap_or_else(|| panic!("no fixture {name}"))).unwrap()
}

fn refusal(bytes: &[u8]) -> String {
    read_bytes(bytes.to_vec(), "a.wav").unwrap_err().to_string()
}

/// xorshift; the same numbers every time.
struct Random(u64);

impl Random {
    fn next(&mut self) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 8) as usize
    }
}
