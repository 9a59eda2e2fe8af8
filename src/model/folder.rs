//! Opening a model folder: its manifest read, checked, and held against the files beside it.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::Read;
use std::path::Path;

use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::hash::{hex, sha256_hex};
use super::manifest::Manifest;
use super::{check, contract, graph_file, names};
use crate::error::{Error, ErrorKind, Result};

/// The manifest format this runtime reads.
pub const FORMAT_VERSION: u32 = 1;
/// The file that makes a folder a model.
pub const FILE_NAME: &str = "manifest.json";
/// Bytes of a manifest: the published model's has 40 thousand.
const LARGEST_MANIFEST: u64 = 4 << 20;
/// Files of one model.
const MOST_FILES: usize = 1024;

impl Manifest {
    /// Reads and checks the manifest of the model in `folder`; every file that it or a graph names
    /// must be there with its size. Hashes are checked by [`Manifest::verify`] alone, since that
    /// reads them all.
    pub fn load(folder: &Path) -> Result<Manifest> {
        let path = folder.join(FILE_NAME);
        let text = read_manifest(folder, &path)?;
        let manifest = parse(&text).map_err(|why| bad_manifest(&path, &why))?;
        check_files(&manifest, folder)?;
        Ok(manifest)
    }

    /// Reads and checks a manifest by itself, without its files.
    pub fn from_json(text: &str) -> Result<Manifest> {
        parse(text).map_err(|why| bad_manifest(Path::new(FILE_NAME), &why))
    }

    /// Compares every file with its sha256; returns the names that differ. Reads all weights.
    pub fn verify(&self, folder: &Path) -> Result<Vec<String>> {
        let mut differing = Vec::new();
        for file in &self.files {
            let path = folder.join(&file.name);
            let found = sha256_hex(&path).map_err(Error::unreadable(&path))?;
            if found != file.sha256 {
                differing.push(file.name.clone());
            }
        }
        Ok(differing)
    }

    /// Names of what lies in `folder` and is no file of the model, sorted: nothing checks it.
    pub fn unlisted(&self, folder: &Path) -> Result<Vec<String>> {
        let mut unlisted = Vec::new();
        for entry in fs::read_dir(folder).map_err(Error::unreadable(folder))? {
            let entry = entry.map_err(Error::unreadable(folder))?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let below = format!("{name}/");
            let known = |file: &str| file == name || file.starts_with(&below);
            if name != FILE_NAME && !self.files.iter().any(|file| known(&file.name)) {
                unlisted.push(names::one_line(&name));
            }
        }
        unlisted.sort_unstable();
        Ok(unlisted)
    }

    /// One hash that stands for the whole model: of the sorted hashes of its files.
    pub fn hash(&self) -> String {
        let mut hashes: Vec<_> = self.files.iter().map(|f| f.sha256.as_str()).collect();
        hashes.sort_unstable();
        hex(&Sha256::digest(hashes.concat().as_bytes()))
    }
}

/// The text of the manifest; no more of it is read than a manifest has.
fn read_manifest(folder: &Path, path: &Path) -> Result<String> {
    regular_file(folder, path)?;
    let file = File::open(path).map_err(Error::unreadable(path))?;
    let mut bytes = Vec::new();
    file.take(LARGEST_MANIFEST + 1)
        .read_to_end(&mut bytes)
        .map_err(Error::unreadable(path))?;
    if bytes.len() as u64 > LARGEST_MANIFEST {
        let why = format!("it has more than {LARGEST_MANIFEST} bytes, which no manifest needs");
        return Err(bad_manifest(path, &why));
    }
    String::from_utf8(bytes).map_err(|_| bad_manifest(path, "it is no text in UTF-8"))
}

/// The bytes of a file that must be there, links followed; a pipe or a device would never end.
fn regular_file(folder: &Path, path: &Path) -> Result<u64> {
    let found = fs::metadata(path).map_err(|e| missing_file(folder, path, e))?;
    if found.is_file() {
        return Ok(found.len());
    }
    let sentence = format!(
        "{} is no regular file, and a model's files all are; copy the model folder again",
        path.display()
    );
    Err(Error::new(ErrorKind::Model, sentence))
}

/// Every file that the manifest or a graph names must be listed, and there with its size.
fn check_files(manifest: &Manifest, folder: &Path) -> Result<()> {
    let bad = |why: String| bad_manifest(&folder.join(FILE_NAME), &why);
    let listed = listed(manifest).map_err(bad)?;
    for (name, &expected) in &listed {
        let path = folder.join(name);
        let bytes = regular_file(folder, &path)?;
        if bytes != expected {
            let sentence = format!(
                "{} has {bytes} bytes, its manifest says {expected}; export or copy the model folder again",
                path.display(),
            );
            return Err(Error::new(ErrorKind::Model, sentence));
        }
    }
    for graph in graph_names(manifest) {
        check_data(folder, graph, &listed)?;
    }
    let bytes: u64 = listed.values().fold(0, |sum, &n| sum.saturating_add(n));
    let least = check::least_weight_bytes(manifest);
    if bytes < least {
        return Err(bad(format!(
            "its sizes ask for {least} bytes of decoder weights at the very least, and all its files have {bytes}"
        )));
    }
    Ok(())
}

fn graph_names(manifest: &Manifest) -> [&str; 4] {
    let graphs = &manifest.graphs;
    [
        &graphs.encoder.file,
        &graphs.decoder.file,
        &graphs.codec_decoder.file,
        &graphs.codec_encoder.file,
    ]
}

/// The files of the list by name with their bytes; what the manifest uses must be among them.
fn listed(manifest: &Manifest) -> std::result::Result<BTreeMap<&str, u64>, String> {
    if manifest.files.len() > MOST_FILES {
        let n = manifest.files.len();
        return Err(format!(
            "it lists {n} files, {MOST_FILES} at most make sense"
        ));
    }
    let mut listed = BTreeMap::new();
    for file in &manifest.files {
        names::inside(&file.name)?;
        if listed.insert(file.name.as_str(), file.bytes).is_some() {
            return Err(format!("it lists {} twice", file.name));
        }
    }
    let used = graph_names(manifest);
    for name in used.into_iter().chain([manifest.tokenizer.as_str()]) {
        names::inside(name)?;
        if !listed.contains_key(name) {
            return Err(format!("it uses {name} and does not list it under files"));
        }
    }
    Ok(listed)
}

/// The data files that a graph names must be listed and as long as it reads them.
fn check_data(folder: &Path, graph: &str, listed: &BTreeMap<&str, u64>) -> Result<()> {
    let path = folder.join(graph);
    let bad = |why: String| {
        let sentence = format!(
            "{} is no graph that this runtime can open: {why}; export or copy the model folder again",
            path.display()
        );
        Error::new(ErrorKind::Model, sentence)
    };
    let files = graph_file::data_files(&path).map_err(|e| bad(e.to_string()))?;
    let beside = graph.rfind('/').map_or("", |end| &graph[..=end]);
    for (location, needed) in files {
        names::inside(&location).map_err(bad)?;
        let name = format!("{beside}{location}");
        let Some(&bytes) = listed.get(name.as_str()) else {
            let why = format!("it names {name}, which the manifest does not list under files");
            return Err(bad(why));
        };
        if needed > bytes {
            let why = format!("it reads {needed} bytes of {name}, which has {bytes}");
            return Err(bad(why));
        }
    }
    Ok(())
}

/// The version alone, so that another format is named as such and not as a missing field.
#[derive(Deserialize)]
struct Version {
    format_version: Option<serde_json::Value>,
}

/// Reads and checks a manifest; why it is none as the part of a sentence.
pub(crate) fn parse(text: &str) -> std::result::Result<Manifest, String> {
    let version: Version =
        serde_json::from_str(text).map_err(|e| format!("it is not JSON of a manifest: {e}"))?;
    let version = version.format_version;
    if version != Some(FORMAT_VERSION.into()) {
        let found = version.map_or("missing".to_string(), |v| v.to_string());
        return Err(format!(
            "its format_version is {found}, this runtime reads {FORMAT_VERSION}"
        ));
    }
    let manifest: Manifest = serde_json::from_str(text).map_err(|e| e.to_string())?;
    check::dims(&manifest)?;
    contract::graphs(&manifest)?;
    Ok(manifest)
}

fn bad_manifest(path: &Path, why: &str) -> Error {
    let sentence = format!(
        "{} does not describe a model this runtime can run: {}; export it again with mini-omni-export",
        path.display(),
        names::one_line(why)
    );
    Error::new(ErrorKind::Model, sentence)
}

fn missing_file(folder: &Path, path: &Path, source: std::io::Error) -> Error {
    if source.kind() == std::io::ErrorKind::NotFound {
        let sentence = format!(
            "{} is not a complete model folder: {} is missing; copy it again, or make one with mini-omni-export",
            folder.display(),
            path.display(),
        );
        return Error::new(ErrorKind::Model, sentence);
    }
    Error::unreadable(path)(source)
}
