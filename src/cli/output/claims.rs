//! Who reads and who writes which file: no file may be both, or be written twice.
//!
//! Files are told apart by what they are and not by their names: links, `./x` beside `x`, and hard
//! links are the same file.

use std::fs::{self, Metadata};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use mini_omni::Manifest;

use super::place::Place;
use super::{is_stdio, name, standard};
use crate::cli::terminal::{STDOUT, cannot_write};

/// What the exporter puts beside the files that a manifest names.
const BESIDE_MODEL: [&str; 3] = ["manifest.json", "quantization.json", "README.md"];

/// The files of one command.
#[derive(Default)]
pub struct Claims {
    /// What is read, with what it is called in a sentence.
    read: Vec<(String, Identity)>,
    /// What is written, by the option that names it.
    written: Vec<(String, Identity)>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Identity {
    /// Even where it is a terminal, it can be taken once.
    Stdout,
    /// Device and inode.
    #[cfg(unix)]
    There(u64, u64),
    /// By its own name: not there yet.
    Named(PathBuf),
}

impl Claims {
    /// Notes a file that is read.
    pub fn reads(&mut self, what: &str, path: &Path) {
        let there = match is_stdio(path) {
            true => standard(0).and_then(|file| file.metadata().ok()),
            false => fs::metadata(path).ok(),
        };
        let identity = there.and_then(|there| Identity::of(&there, path));
        self.read.extend(identity.map(|id| (what.to_string(), id)));
    }

    /// Notes each file of a model. What else lies in its folder may be written over.
    pub fn reads_model(&mut self, folder: &Path, manifest: &Manifest) {
        let named = manifest.files.iter().map(|file| file.name.as_str());
        for name in named.chain(BESIDE_MODEL) {
            self.reads("a file of the model", &folder.join(name));
        }
    }

    /// Notes that `option` writes to `path`; refuses what others read or write.
    pub fn writes(&mut self, option: &str, path: &Path) -> Result<()> {
        let name = name(path);
        let place = Place::of(path).with_context(|| cannot_write(&name))?;
        let said = identities(&Place::Stderr);
        for identity in identities(&place) {
            if matches!(place, Place::File(_)) && said.contains(&identity) {
                bail!("{option} and standard error both want {name}; give each its own file");
            }
            if let Some((what, _)) = self.read.iter().find(|(_, read)| *read == identity) {
                let on = if is_stdio(path) { " on" } else { "" };
                bail!("{option}{on} {name} would overwrite {what}; give it another file");
            }
            if let Some((other, _)) = self.written.iter().find(|(_, id)| *id == identity) {
                bail!("{}", both(other, option, &name, &identity));
            }
            self.written.push((option.to_string(), identity));
        }
        Ok(())
    }

    /// Notes that `what` goes to standard output, which the shell may have led into a file.
    pub fn prints(&mut self, what: &str) -> Result<()> {
        self.writes(what, Path::new("-"))
    }
}

fn both(one: &str, other: &str, name: &str, identity: &Identity) -> String {
    match identity {
        Identity::Stdout => {
            format!("{one} and {other} both want {STDOUT}; give one of them a file")
        }
        _ => format!("{one} and {other} both want {name}; give each its own file"),
    }
}

fn identities(place: &Place) -> Vec<Identity> {
    let there = |file: Option<Metadata>, path: &Path| file.and_then(|f| Identity::of(&f, path));
    let of_standard = |number| standard(number).and_then(|file| file.metadata().ok());
    match place {
        Place::Stdout => {
            let file = there(of_standard(1), Path::new("/dev/stdout"));
            std::iter::once(Identity::Stdout).chain(file).collect()
        }
        Place::Stderr => Vec::from_iter(there(of_standard(2), Path::new("/dev/stderr"))),
        Place::Open(path) => Vec::from_iter(there(fs::metadata(path).ok(), path)),
        Place::File(path) => match fs::metadata(path) {
            Ok(file) => Vec::from_iter(Identity::of(&file, path)),
            Err(_) => vec![Identity::Named(path.clone())],
        },
    }
}

impl Identity {
    /// `None` of a device such as /dev/null, which many may use at once.
    #[cfg(unix)]
    fn of(there: &Metadata, _: &Path) -> Option<Identity> {
        use std::os::unix::fs::{FileTypeExt, MetadataExt};
        let kind = there.file_type();
        (kind.is_file() || kind.is_fifo()).then(|| Identity::There(there.dev(), there.ino()))
    }

    #[cfg(not(unix))]
    fn of(there: &Metadata, path: &Path) -> Option<Identity> {
        let own = fs::canonicalize(path).ok()?;
        there.is_file().then_some(Identity::Named(own))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_has_one_writer_by_whatever_name() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        fs::write(at("a"), "x").expect("written");
        fs::hard_link(at("a"), at("b")).expect("a second name");
        let twice = |one: &Path, other: &Path| {
            let mut claims = Claims::default();
            claims.writes("--out", one).expect("the first");
            claims.writes("--trace", other).is_err()
        };
        assert!(twice(&at("a"), &at("b")));
        assert!(twice(&at("new"), &at("./new")));
        assert!(twice(Path::new("-"), Path::new("/dev/stdout")));
        assert!(!twice(&at("a"), &at("c")));
        assert!(!twice(Path::new("/dev/null"), Path::new("/dev/null")));
    }

    #[test]
    fn what_is_read_is_not_written() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("question.wav");
        fs::write(&file, "x").expect("written");
        let mut claims = Claims::default();
        claims.reads("the question", &file);
        let error = claims.writes("--out", &file).expect_err("the same file");
        assert!(error.to_string().contains("overwrite the question"));
        let new = folder.path().join("answer.wav");
        claims.writes("--out", &new).expect("a new file");
    }
}
