//! Speech as wav: 16 bits, one channel, written while it is being spoken.
//!
//! A file has the length in its header, since it is put in its place when it is complete. A pipe or a
//! device cannot be rewound: there the header says "length unknown" the way players understand it. An
//! answer without sound writes nothing, not even a header.

use std::path::Path;

use anyhow::Result;

use super::Output;

/// The data length that means "until the stream ends".
const UNKNOWN_LENGTH: u32 = u32::MAX;
const BYTES_PER_SAMPLE: u32 = 2;
const HEADER_LENGTH: usize = 44;

/// A wav to come.
pub struct WavSink {
    output: Output,
    sample_rate: u32,
    /// Bytes of samples written so far.
    data_length: u64,
}

impl WavSink {
    /// Opens a place for the wav; "-" is standard output. Without [`WavSink::finish`] no file appears.
    pub fn create(path: &Path, sample_rate: u32) -> Result<WavSink> {
        Ok(WavSink {
            output: Output::open(path)?,
            sample_rate,
            data_length: 0,
        })
    }

    /// Appends samples: clamped to -1 and 1, NaN as silence.
    pub fn write(&mut self, pcm: &[f32]) -> Result<()> {
        if pcm.is_empty() {
            return Ok(());
        }
        if self.data_length == 0 {
            self.output.put(&header(self.sample_rate, UNKNOWN_LENGTH))?;
        }
        let bytes: Vec<u8> = pcm.iter().flat_map(|&x| to_i16(x).to_le_bytes()).collect();
        self.data_length += bytes.len() as u64;
        self.output.put(&bytes)
    }

    /// Whether there has been any sound.
    pub fn has_sound(&self) -> bool {
        self.data_length > 0
    }

    /// Completes the header and puts the file in its place, if there was any sound.
    pub fn finish(self) -> Result<()> {
        if !self.has_sound() {
            return Ok(());
        }
        let data_length = u32::try_from(self.data_length).unwrap_or(UNKNOWN_LENGTH);
        self.output.finish(&header(self.sample_rate, data_length))
    }

    /// What an answer without sound leaves there, as a sentence.
    pub fn without_sound(&self) -> String {
        let name = self.output.name();
        match self.output.replaces() {
            true => {
                format!("the answer has no sound; {name} stays as it was and is not this answer")
            }
            false => format!("the answer has no sound; nothing is written to {name}"),
        }
    }
}

/// A whole wav, to be kept inside something else.
pub fn file(pcm: &[f32], sample_rate: u32) -> Vec<u8> {
    let length = u32::try_from(pcm.len() * BYTES_PER_SAMPLE as usize).unwrap_or(UNKNOWN_LENGTH);
    let mut file = header(sample_rate, length).to_vec();
    file.extend(pcm.iter().flat_map(|&x| to_i16(x).to_le_bytes()));
    file
}

/// The 16-bit value of a sample.
pub fn to_i16(sample: f32) -> i16 {
    // The cast takes NaN to 0.
    (sample.clamp(-1.0, 1.0) * 32767.0).round() as i16
}

/// The canonical 44 bytes before 16-bit samples of one channel.
fn header(sample_rate: u32, data_length: u32) -> [u8; HEADER_LENGTH] {
    let riff_length = data_length.saturating_add(HEADER_LENGTH as u32 - 8);
    let byte_rate = sample_rate.saturating_mul(BYTES_PER_SAMPLE);
    let mut header = [0; HEADER_LENGTH];
    header[0..4].copy_from_slice(b"RIFF");
    header[4..8].copy_from_slice(&riff_length.to_le_bytes());
    header[8..16].copy_from_slice(b"WAVEfmt ");
    header[16..20].copy_from_slice(&16u32.to_le_bytes()); // length of the fmt chunk
    header[20..22].copy_from_slice(&1u16.to_le_bytes()); // PCM
    header[22..24].copy_from_slice(&1u16.to_le_bytes()); // channels
    header[24..28].copy_from_slice(&sample_rate.to_le_bytes());
    header[28..32].copy_from_slice(&byte_rate.to_le_bytes());
    header[32..34].copy_from_slice(&(BYTES_PER_SAMPLE as u16).to_le_bytes()); // block align
    header[34..36].copy_from_slice(&16u16.to_le_bytes()); // bits
    header[36..40].copy_from_slice(b"data");
    header[40..44].copy_from_slice(&data_length.to_le_bytes());
    header
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn files(folder: &Path) -> usize {
        fs::read_dir(folder).unwrap().count()
    }

    #[test]
    fn a_finished_file_is_a_wav_that_others_read() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answer.wav");
        let mut sink = WavSink::create(&path, 24_000).unwrap();
        sink.write(&[0.0, 1.0]).unwrap();
        sink.write(&[-1.0, 0.5, 2.0, f32::NAN]).unwrap();
        assert!(!path.exists());
        sink.finish().unwrap();
        let mut wav = hound::WavReader::open(&path).unwrap();
        assert_eq!(wav.spec().sample_rate, 24_000);
        assert_eq!((wav.spec().channels, wav.spec().bits_per_sample), (1, 16));
        let samples: Vec<i16> = wav.samples().map(Result::unwrap).collect();
        assert_eq!(samples, [0, 32767, -32767, 16384, 32767, 0]);
        let bytes = fs::read(&path).unwrap();
        assert_eq!(bytes.len(), HEADER_LENGTH + 12);
        assert_eq!(bytes[4..8], 48u32.to_le_bytes());
        assert_eq!(files(folder.path()), 1);
    }

    #[test]
    fn a_dropped_sink_leaves_nothing_and_keeps_what_was_there() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answer.wav");
        fs::write(&path, "before").unwrap();
        let mut sink = WavSink::create(&path, 24_000).unwrap();
        sink.write(&[0.1; 100]).unwrap();
        drop(sink);
        assert_eq!(fs::read(&path).unwrap(), b"before");
        assert_eq!(files(folder.path()), 1);
    }

    #[test]
    fn an_answer_without_sound_writes_nothing_and_says_so() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("answer.wav");
        let mut sink = WavSink::create(&path, 24_000).unwrap();
        sink.write(&[]).unwrap();
        assert!(sink.without_sound().contains("nothing is written"));
        sink.finish().unwrap();
        assert_eq!(files(folder.path()), 0);
        fs::write(&path, "before").unwrap();
        let sink = WavSink::create(&path, 24_000).unwrap();
        assert!(sink.without_sound().contains("is not this answer"));
        sink.finish().unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"before");
    }

    #[test]
    fn places_that_cannot_be_written_are_known_at_once() {
        let folder = tempfile::tempdir().unwrap();
        let refusal = |path: &Path| format!("{:#}", WavSink::create(path, 24_000).err().unwrap());
        let sentence = refusal(folder.path());
        assert!(sentence.starts_with("cannot write ") && sentence.ends_with("it is a folder"));
        assert!(refusal(&folder.path().join("no/such/folder.wav")).starts_with("cannot write "));
    }

    #[cfg(unix)]
    #[test]
    fn a_device_is_written_to_and_not_replaced() {
        use std::os::unix::fs::FileTypeExt;
        let path = Path::new("/dev/null");
        let mut sink = WavSink::create(path, 24_000).unwrap();
        sink.write(&[0.5]).unwrap();
        sink.finish().unwrap();
        assert!(fs::metadata(path).unwrap().file_type().is_char_device());
    }

    #[cfg(unix)]
    #[test]
    fn a_file_has_the_permissions_of_any_new_file() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let mode = |name: &str| {
            let path = folder.path().join(name);
            fs::metadata(path).unwrap().permissions().mode()
        };
        fs::write(folder.path().join("any"), "").unwrap();
        let path = folder.path().join("answer.wav");
        let mut sink = WavSink::create(&path, 24_000).unwrap();
        sink.write(&[0.1]).unwrap();
        sink.finish().unwrap();
        assert_eq!(mode("answer.wav"), mode("any"));
    }

    #[test]
    fn a_stream_says_that_its_length_is_unknown() {
        let header = header(24_000, UNKNOWN_LENGTH);
        assert_eq!(header[4..8], [0xFF; 4]);
        assert_eq!(header[40..44], [0xFF; 4]);
    }
}
