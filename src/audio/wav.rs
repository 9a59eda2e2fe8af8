//! The answer as a 16-bit wav, growing while it is spoken.
//!
//! A file is written beside its place and renamed when it is whole; standard output gets a header
//! of open length, as players that are piped to expect.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use hound::{SampleFormat, WavSpec, WavWriter};
use tempfile::{NamedTempFile, TempPath};

use super::AudioError;

/// A wav being written.
pub struct WavSink {
    path: PathBuf,
    target: Target,
}

enum Target {
    Stdout,
    File { writer: WavWriter<BufWriter<File>>, temp: TempPath },
}

/// A sample as 16 bits: clamped, never wrapped; NaN is silence.
pub fn to_i16(sample: f32) -> i16 {
    (sample.clamp(-1.0, 1.0) * f32::from(i16::MAX)).round() as i16
}

impl WavSink {
    /// Mono at `sample_rate` Hz, to `path`; "-" is standard output.
    pub fn create(path: &Path, sample_rate: u32) -> Result<WavSink, AudioError> {
        let spec =
            WavSpec { channels: 1, sample_rate, bits_per_sample: 16, sample_format: SampleFormat::Int };
        let target = if path.as_os_str() == "-" { stdout(spec) } else { file(path, spec) };
        Ok(WavSink { target: target.map_err(unwritable(path))?, path: path.to_path_buf() })
    }

    /// Appends samples in -1..1.
    pub fn write(&mut self, pcm: &[f32]) -> Result<(), AudioError> {
        let written = match &mut self.target {
            Target::Stdout => {
                let bytes: Vec<u8> = pcm.iter().flat_map(|&s| to_i16(s).to_le_bytes()).collect();
                let mut stdout = std::io::stdout().lock();
                stdout.write_all(&bytes).and_then(|()| stdout.flush())
            }
            Target::File { writer, .. } => {
                pcm.iter().try_for_each(|&s| writer.write_sample(to_i16(s))).map_err(as_io)
            }
        };
        written.map_err(unwritable(&self.path))
    }

    /// Completes the wav and puts it in its place.
    pub fn finish(self) -> Result<(), AudioError> {
        let failed = unwritable(&self.path);
        match self.target {
            Target::Stdout => Ok(()),
            Target::File { writer, temp } => writer
                .finalize()
                .map_err(as_io)
                .and_then(|()| temp.persist(&self.path).map_err(|e| e.error))
                .map_err(failed),
        }
    }
}

fn stdout(spec: WavSpec) -> std::io::Result<Target> {
    std::io::stdout().write_all(&spec.into_header_for_infinite_file())?;
    Ok(Target::Stdout)
}

fn file(path: &Path, spec: WavSpec) -> std::io::Result<Target> {
    let (file, temp) = beside(path)?.into_parts();
    let writer = WavWriter::new(BufWriter::new(file), spec).map_err(as_io)?;
    Ok(Target::File { writer, temp })
}

/// A temporary file in the folder of `path`, with the permissions of an ordinary new file.
pub fn beside(path: &Path) -> std::io::Result<NamedTempFile> {
    if path.is_dir() {
        return Err(std::io::Error::other("it is a folder"));
    }
    let folder = path.parent().filter(|p| !p.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut builder = tempfile::Builder::new();
    builder.prefix(".mini-omni-");
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(std::fs::Permissions::from_mode(0o666));
    }
    builder.tempfile_in(folder)
}

fn as_io(error: hound::Error) -> std::io::Error {
    match error {
        hound::Error::IoError(error) => error,
        other => std::io::Error::other(other),
    }
}

fn unwritable(path: &Path) -> impl FnOnce(std::io::Error) -> AudioError {
    let path = path.to_path_buf();
    move |source| AudioError::Unwritable { path, source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn samples_are_clamped_and_never_wrap() {
        assert_eq!([0.0, 1.0, 1.5, -1.0, -9.0].map(to_i16), [0, 32767, 32767, -32767, -32767]);
        assert_eq!(to_i16(f32::NAN), 0);
    }

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("answer.wav");
        let mut sink = WavSink::create(&path, 24_000).expect("a sink");
        sink.write(&[0.5; 100]).expect("written");
        assert!(!path.exists(), "nothing is there before the end");
        drop(sink);
        assert_eq!(folder.path().read_dir().expect("a listing").count(), 0, "nothing is left behind");
        let mut sink = WavSink::create(&path, 24_000).expect("a sink");
        sink.write(&[0.5; 100]).expect("written");
        sink.finish().expect("finished");
        let pcm = crate::audio::read(&path).expect("read back");
        assert_eq!((pcm.samples.len(), pcm.sample_rate), (100, 24_000));
    }

    #[test]
    fn a_folder_is_no_place_for_a_wav() {
        let folder = tempfile::tempdir().expect("a folder");
        let error = WavSink::create(folder.path(), 24_000).err().expect("refused");
        assert!(error.to_string().contains("it is a folder"));
    }
}
