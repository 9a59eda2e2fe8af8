//! Where the ONNX Runtime library is: named by the person, beside the program, where `make` put it,
//! or where the system keeps libraries.
//!
//! Nothing here is fixed when the program is built: a binary that is moved with its library beside it
//! finds it, and no path of the machine that built it is in it.

use std::env::consts::{DLL_PREFIX, DLL_SUFFIX};
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::{env, fs};

use crate::error::{Error, ErrorKind, Result};

/// Names the library file, before all other places.
const VARIABLE: &str = "ORT_DYLIB_PATH";
/// Where `make` puts the library, at the top of the source tree.
const MAKE_FOLDER: &str = ".onnxruntime";
/// Folders above the program that are looked at for it: target/release/deps/ is the deepest.
const LEVELS: usize = 4;
/// Where systems keep libraries.
const SYSTEM_FOLDERS: [&str; 6] = [
    "/usr/local/lib",
    "/usr/lib",
    "/usr/lib64",
    "/usr/lib/x86_64-linux-gnu",
    "/usr/lib/aarch64-linux-gnu",
    "/opt/homebrew/lib",
];

/// The library file, from the first place that has one.
pub(super) fn find() -> Result<PathBuf> {
    let failed = |sentence| Error::new(ErrorKind::Runtime, sentence);
    if let Some(path) = env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        let path = PathBuf::from(path);
        if path.is_file() {
            return Ok(path);
        }
        let sentence = format!("{VARIABLE} names {}, which is not a file", path.display());
        return Err(failed(sentence));
    }
    let program = program();
    let beside = program.as_deref().and_then(Path::parent);
    places(beside, env::var_os("LD_LIBRARY_PATH"))
        .iter()
        .find_map(|folder| HERE.library_in(folder))
        .ok_or_else(|| {
            let beside = beside.map_or("the program".into(), |folder| folder.display().to_string());
            failed(format!(
                "ONNX Runtime was not found; put {} (with or without a version behind it) into {beside}, or name it in {VARIABLE}; it comes with the Python package onnxruntime and with Microsoft's release archives",
                HERE.plain(),
            ))
        })
}

/// The folders to look into, best first.
fn places(beside: Option<&Path>, search_path: Option<OsString>) -> Vec<PathBuf> {
    let mut places: Vec<PathBuf> = beside.map(Path::to_path_buf).into_iter().collect();
    places.extend(beside.map(|folder| folder.join("lib")));
    let above = beside.into_iter().flat_map(Path::ancestors).take(LEVELS);
    places.extend(above.map(|folder| folder.join(MAKE_FOLDER)));
    places.extend(search_path.iter().flat_map(env::split_paths));
    places.extend(SYSTEM_FOLDERS.map(PathBuf::from));
    places
}

/// The file of this program, links followed. Where the system does not say (no /proc), what it was
/// called by.
fn program() -> Option<PathBuf> {
    let called = || {
        let name = PathBuf::from(env::args_os().next()?);
        if name.components().count() > 1 {
            return Some(name);
        }
        let path = env::var_os("PATH")?;
        env::split_paths(&path)
            .map(|folder| folder.join(&name))
            .find(|file| file.is_file())
    };
    let program = env::current_exe().ok().or_else(called)?;
    fs::canonicalize(&program).ok().or(Some(program))
}

/// How a system names shared libraries.
#[derive(Clone, Copy)]
struct Naming {
    prefix: &'static str,
    suffix: &'static str,
}

const HERE: Naming = Naming {
    prefix: DLL_PREFIX,
    suffix: DLL_SUFFIX,
};

impl Naming {
    /// The library's name without a version.
    fn plain(self) -> String {
        format!("{}onnxruntime{}", self.prefix, self.suffix)
    }

    /// The version in a file's name, if it is the library's. Linux's wheels and archives say
    /// libonnxruntime.so.1.31.1, macOS's libonnxruntime.1.31.1.dylib.
    fn version(self, name: &str) -> Option<Vec<u32>> {
        let rest = name
            .strip_prefix(self.prefix)?
            .strip_prefix("onnxruntime")?;
        let version = match rest.strip_prefix(self.suffix) {
            Some(behind) => behind,
            None => rest.strip_suffix(self.suffix)?,
        };
        let numbers = version.strip_prefix('.')?.split('.');
        numbers.map(|number| number.parse().ok()).collect()
    }

    /// The library in a folder: the plain name, else the newest version.
    fn library_in(self, folder: &Path) -> Option<PathBuf> {
        let plain = folder.join(self.plain());
        if plain.is_file() {
            return Some(plain);
        }
        let files = fs::read_dir(folder).ok()?.flatten();
        files
            .map(|entry| entry.path())
            .filter(|path| path.is_file())
            .filter_map(|path| Some((self.version(path.file_name()?.to_str()?)?, path)))
            .max()
            .map(|(_, path)| path)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINUX: Naming = Naming {
        prefix: "lib",
        suffix: ".so",
    };
    const MACOS: Naming = Naming {
        prefix: "lib",
        suffix: ".dylib",
    };
    const WINDOWS: Naming = Naming {
        prefix: "",
        suffix: ".dll",
    };

    /// The library that is found among files of these names.
    fn found(naming: Naming, names: &[&str]) -> Option<String> {
        let folder = tempfile::tempdir().expect("a folder");
        for name in names {
            fs::write(folder.path().join(name), "").expect("written");
        }
        let file = naming.library_in(folder.path())?;
        Some(file.file_name()?.to_str()?.to_string())
    }

    #[test]
    fn a_library_is_known_by_each_systems_name_for_it() {
        let names = [
            "libonnxruntime.so",
            "libonnxruntime.dylib",
            "onnxruntime.dll",
        ];
        for (naming, name) in [LINUX, MACOS, WINDOWS].into_iter().zip(names) {
            assert_eq!(found(naming, &names).as_deref(), Some(name));
        }
    }

    #[test]
    fn the_newest_version_is_taken_where_there_is_no_plain_name() {
        let linux = ["libonnxruntime.so.1.9.0", "libonnxruntime.so.1.31.1"];
        assert_eq!(found(LINUX, &linux).as_deref(), Some(linux[1]));
        let macos = ["libonnxruntime.1.31.1.dylib", "libonnxruntime.1.9.0.dylib"];
        assert_eq!(found(MACOS, &macos).as_deref(), Some(macos[0]));
        let plain = [linux[0], "libonnxruntime.so"];
        assert_eq!(found(LINUX, &plain).as_deref(), Some(plain[1]));
    }

    #[test]
    fn other_files_are_not_the_library() {
        let others = [
            "notes.txt",
            "libonnxruntime_providers_shared.so",
            "libonnxruntime_providers_shared.dylib",
            "onnxruntime_providers_shared.dll",
            "onnxruntime.lib",
            "libonnxruntime.so.debug",
        ];
        for naming in [LINUX, MACOS, WINDOWS] {
            assert_eq!(found(naming, &others), None);
            assert_eq!(naming.library_in(Path::new("/no/such/folder")), None);
        }
    }

    #[test]
    fn places_lie_beside_the_program_then_above_it_then_in_the_system() {
        let beside = Path::new("/opt/tree/target/release");
        let places = places(Some(beside), Some("/x:/y".into()));
        let at = |folder: &str| places.iter().position(|place| place == Path::new(folder));
        assert_eq!(at("/opt/tree/target/release"), Some(0));
        assert!(at("/opt/tree/.onnxruntime") < at("/x"));
        assert!(at("/y") < at("/usr/lib"));
        assert!(at("/opt/tree/.onnxruntime").is_some() && at("/y").is_some());
    }
}
