//! Files of a set: what a path is, and a text as its lines.

use std::fs::{self, File};
use std::io::{ErrorKind, Read};
use std::path::Path;

use anyhow::{Context, Result, anyhow, bail};

const BYTE_ORDER_MARK: &[u8] = "\u{FEFF}".as_bytes();
/// Bytes of one table or transcript, which is read whole: some hundred thousand rows.
const MOST_BYTES: u64 = 64 << 20;

/// Refuses what is no file, by what it is.
pub fn check(path: &Path) -> Result<(), String> {
    let name = path.display();
    match fs::metadata(path) {
        Ok(there) if there.is_file() => Ok(()),
        Ok(there) if there.is_dir() => Err(format!("{name} is a folder, where a file is needed")),
        Ok(_) => Err(format!("{name} is no file but a pipe or a device")),
        Err(error) if error.kind() == ErrorKind::NotFound => {
            Err(format!("there is no file {name}"))
        }
        Err(error) => Err(format!("cannot read {name}: {error}")),
    }
}

/// The bytes of a text, without a byte order mark.
pub fn read(path: &Path) -> Result<Vec<u8>> {
    check(path).map_err(|fault| anyhow!(fault))?;
    let unreadable = || format!("cannot read {}", path.display());
    let file = File::open(path).with_context(unreadable)?;
    let mut bytes = Vec::new();
    let read = file.take(MOST_BYTES + 1).read_to_end(&mut bytes);
    if read.with_context(unreadable)? as u64 > MOST_BYTES {
        let (name, most) = (path.display(), MOST_BYTES >> 20);
        bail!("{name} has more than {most} MiB; cut it in several sets");
    }
    if bytes.starts_with(BYTE_ORDER_MARK) {
        bytes.drain(..BYTE_ORDER_MARK.len());
    }
    Ok(bytes)
}

/// The lines of a text that are not empty, each with its place, or a sentence if it is no text.
pub fn lines(path: &Path) -> Result<Vec<(String, Result<String, String>)>> {
    let bytes = read(path)?;
    let line = |(i, line): (usize, &[u8])| {
        let place = place(path, i as u64 + 1);
        let text = String::from_utf8(line.to_vec());
        let text = text.map_err(|_| format!("{place}: the line is not in UTF-8"));
        (place, text)
    };
    let lines = bytes.split(|&byte| byte == b'\n').enumerate();
    let filled = lines.filter(|(_, line)| !line.trim_ascii().is_empty());
    Ok(filled.map(line).collect())
}

/// A line of a file, as faults name it.
pub fn place(path: &Path, line: u64) -> String {
    format!("{}:{line}", path.display())
}
