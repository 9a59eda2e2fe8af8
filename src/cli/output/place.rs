//! What a path means as a place to write to, links followed.

use std::path::{Path, PathBuf};
use std::{fs, io};

/// As many links in a row as Linux follows.
const MOST_LINKS: usize = 40;
/// Folders whose entries are this program's open files.
const DESCRIPTORS: [&str; 3] = ["/dev/fd", "/proc/self/fd", "/proc/thread-self/fd"];

/// Where bytes go.
#[derive(Debug, PartialEq, Eq)]
pub enum Place {
    /// "-", /dev/stdout or any link to it.
    Stdout,
    /// /dev/stderr or any link to it.
    Stderr,
    /// A pipe, a device or a file that the shell has opened for us: written to, never replaced.
    Open(PathBuf),
    /// A file that is there or is to be, by its own name.
    File(PathBuf),
}

impl Place {
    /// Finds the place behind all links; an error where nothing can be written there.
    pub fn of(path: &Path) -> io::Result<Place> {
        if super::is_stdio(path) {
            return Ok(Place::Stdout);
        }
        let mut at = path.to_path_buf();
        for _ in 0..MOST_LINKS {
            match descriptor(&at) {
                Some(1) => return Ok(Place::Stdout),
                Some(2) => return Ok(Place::Stderr),
                Some(_) => return Ok(Place::Open(at)),
                None => {}
            }
            match fs::read_link(&at) {
                Ok(target) => at = folder(&at).join(target),
                Err(_) => return Place::without_links(at),
            }
        }
        Err(io::Error::other("its links lead in a circle"))
    }

    fn without_links(path: PathBuf) -> io::Result<Place> {
        match fs::metadata(&path) {
            Ok(there) if there.is_dir() => Err(io::Error::other("it is a folder")),
            Ok(there) if there.is_file() => Ok(Place::File(fs::canonicalize(path)?)),
            Ok(_) => Ok(Place::Open(path)),
            Err(error) if error.kind() == io::ErrorKind::NotFound => new_file(&path),
            Err(error) => Err(error),
        }
    }
}

/// A file that is not there yet.
fn new_file(path: &Path) -> io::Result<Place> {
    let named_as_folder = path.to_string_lossy().ends_with(std::path::is_separator);
    match path.file_name() {
        Some(name) if !named_as_folder => {
            Ok(Place::File(fs::canonicalize(folder(path))?.join(name)))
        }
        _ => Err(io::Error::other("it names a folder")),
    }
}

/// The folder that a path lies in.
pub fn folder(path: &Path) -> &Path {
    path.parent()
        .filter(|folder| !folder.as_os_str().is_empty())
        .unwrap_or(Path::new("."))
}

/// The number of the open file that a path names.
fn descriptor(path: &Path) -> Option<u32> {
    let number = path.file_name()?.to_str()?.parse().ok()?;
    let folder = fs::canonicalize(folder(path)).ok()?;
    let is_ours = |name| fs::canonicalize(name).is_ok_and(|ours| ours == folder);
    DESCRIPTORS.into_iter().any(is_ours).then_some(number)
}

#[cfg(test)]
#[cfg(unix)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn standard_output_is_known_by_each_of_its_names() {
        let folder = tempfile::tempdir().expect("a folder");
        let link = folder.path().join("link");
        symlink("/dev/stdout", &link).expect("a link");
        for path in ["-", "/dev/stdout", "/dev/fd/1", "/dev/../dev/fd/1"] {
            assert_eq!(Place::of(path.as_ref()).expect("a place"), Place::Stdout);
        }
        assert_eq!(Place::of(&link).expect("a place"), Place::Stdout);
        let stderr = Place::of("/dev/stderr".as_ref()).expect("a place");
        assert_eq!(stderr, Place::Stderr);
        let null = Place::of("/dev/null".as_ref()).expect("a place");
        assert_eq!(null, Place::Open("/dev/null".into()));
    }

    #[test]
    fn a_link_means_what_it_points_to_even_if_that_is_not_there_yet() {
        let folder = tempfile::tempdir().expect("a folder");
        let at = |name: &str| folder.path().join(name);
        symlink("answer.wav", at("a")).expect("a link");
        symlink("a", at("b")).expect("a link");
        let own = fs::canonicalize(folder.path()).expect("a folder");
        let expected = Place::File(own.join("answer.wav"));
        assert_eq!(Place::of(&at("b")).expect("a place"), expected);
        fs::write(at("answer.wav"), "x").expect("written");
        assert_eq!(Place::of(&at("b")).expect("a place"), expected);
        symlink("c", at("c")).expect("a link");
        assert!(Place::of(&at("c")).is_err());
        assert!(Place::of(&at("new/")).is_err());
        assert!(Place::of(folder.path()).is_err());
    }
}
