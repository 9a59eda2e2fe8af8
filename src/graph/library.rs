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
        .find_map(|folder| library_in(folder))
        .ok_or_else(|| {
            let beside = beside.map_or("the program".into(), |folder| folder.display().to_string());
            failed(format!(
                "ONNX Runtime was not found; put {} (with or without a version behind it) into {beside}, or name it in {VARIABLE}; it comes with the Python package onnxruntime and with Microsoft's release archives",
                plain_name(),
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

fn plain_name() -> String {
    format!("{DLL_PREFIX}onnxruntime{DLL_SUFFIX}")
}

/// The library in a folder. Linux wheels and archives name it with its version, as in
/// libonnxruntime.so.1.31.1; macOS's libonnxruntime.1.31.1.dylib.
fn library_in(folder: &Path) -> Option<PathBuf> {
    let plain = folder.join(plain_name());
    if plain.is_file() {
        return Some(plain);
    }
    let mut versioned: Vec<_> = fs::read_dir(folder)
        .ok()?
        .filter_map(|entry| Some(entry.ok()?.path()))
        .filter(|path| is_versioned(path) && path.is_file())
        .collect();
    versioned.sort();
    versioned.pop()
}

fn is_versioned(path: &Path) -> bool {
    let name = path.file_name().and_then(|name| name.to_str());
    let version = |name: &str| {
        let start = format!("{DLL_PREFIX}onnxruntime");
        let rest = name.strip_prefix(&start)?;
        let rest = rest
            .strip_prefix(&format!("{DLL_SUFFIX}."))
            .or_else(|| rest.strip_prefix('.')?.strip_suffix(DLL_SUFFIX))?;
        rest.starts_with(|c: char| c.is_ascii_digit()).then_some(())
    };
    name.and_then(version).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_library_is_known_by_its_name_with_or_without_a_version() {
        let folder = tempfile::tempdir().expect("a folder");
        let put = |name: &str| fs::write(folder.path().join(name), "").expect("written");
        put("notes.txt");
        put(&format!(
            "{DLL_PREFIX}onnxruntime_providers_shared{DLL_SUFFIX}"
        ));
        assert_eq!(library_in(folder.path()), None);
        put(&format!("{}.1.31.1", plain_name()));
        let found = library_in(folder.path()).expect("a library");
        assert!(found.ends_with(format!("{}.1.31.1", plain_name())));
        put(&plain_name());
        assert!(library_in(folder.path()).is_some_and(|file| file.ends_with(plain_name())));
        assert_eq!(library_in(&folder.path().join("missing")), None);
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
