//! Opening a model folder: its manifest read, checked, and held against the files beside it.

use std::fs;
use std::path::Path;

use sha2::{Digest, Sha256};

use super::check;
use super::hash::{hex, sha256_hex};
use super::manifest::Manifest;
use crate::error::{Error, ErrorKind, Result};

/// The manifest format this runtime reads.
pub const FORMAT_VERSION: u32 = 1;
/// The file that makes a folder a model.
pub const FILE_NAME: &str = "manifest.json";

impl Manifest {
    /// Reads and checks the manifest of the model in `folder`; every file it names must be there
    /// with its size. Hashes are checked by [`Manifest::verify`] alone, since that reads them all.
    pub fn load(folder: &Path) -> Result<Manifest> {
        let path = folder.join(FILE_NAME);
        let text = fs::read_to_string(&path).map_err(|e| missing_file(folder, &path, e))?;
        let manifest = parse(&text, &path)?;
        check::dims(&manifest).map_err(|why| bad_manifest(&path, &why))?;
        check_files(&manifest, folder)?;
        Ok(manifest)
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

    /// One hash that stands for the whole model: of the sorted hashes of its files.
    pub fn hash(&self) -> String {
        let mut hashes: Vec<_> = self.files.iter().map(|f| f.sha256.as_str()).collect();
        hashes.sort_unstable();
        hex(&Sha256::digest(hashes.concat().as_bytes()))
    }
}

/// Every file that the manifest names must be there with its size.
fn check_files(manifest: &Manifest, folder: &Path) -> Result<()> {
    for file in &manifest.files {
        let path = folder.join(&file.name);
        let bytes = fs::metadata(&path)
            .map_err(|e| missing_file(folder, &path, e))?
            .len();
        if bytes != file.bytes {
            let sentence = format!(
                "{} has {bytes} bytes, its manifest says {}; export or copy the model folder again",
                path.display(),
                file.bytes
            );
            return Err(Error::new(ErrorKind::Model, sentence));
        }
    }
    Ok(())
}

fn parse(text: &str, path: &Path) -> Result<Manifest> {
    // The version first, so that another format is named as such and not as a missing field.
    let value: serde_json::Value = serde_json::from_str(text)
        .map_err(|e| bad_manifest(path, &format!("it is not JSON: {e}")))?;
    let version = value
        .get("format_version")
        .and_then(serde_json::Value::as_u64);
    if version != Some(u64::from(FORMAT_VERSION)) {
        let found = version.map_or("none".to_string(), |v| v.to_string());
        return Err(bad_manifest(
            path,
            &format!("its format_version is {found}, this runtime reads {FORMAT_VERSION}"),
        ));
    }
    serde_json::from_value(value).map_err(|e| bad_manifest(path, &e.to_string()))
}

fn bad_manifest(path: &Path, why: &str) -> Error {
    let sentence = format!(
        "{} does not describe a model this runtime can run: {why}; export it again with mini-omni-export",
        path.display()
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
