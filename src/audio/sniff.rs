//! What bytes are, whatever their file is called.

/// What a recording begins like.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Format {
    /// Wav and its kin.
    Riff(Riff),
    /// Something symphonia knows by these very bytes; its name.
    Known(&'static str),
    /// A format that is not read, by its name.
    NotRead(&'static str),
    /// Perhaps an mp3 that was cut out of a longer one.
    Unknown,
}

/// The wav family: the same chunks under other headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Riff {
    /// Lengths of 32 bits; with RF64 and BW64 the true ones in a ds64 chunk.
    Wav,
    /// Sony's: GUIDs for names, lengths of 64 bits.
    Wave64,
}

/// Bytes [`sniff`] wants to see.
pub(super) const HEAD: usize = 64;

/// The head of Wave64's first chunk.
const WAVE64: &[u8; 16] = b"riff\x2E\x91\xCF\x11\xA5\xD6\x28\xDB\x04\xC1\x00\x00";

/// Beginnings, with the place where each stands, of what is read.
const KNOWN: [(usize, &[u8], &str); 6] = [
    (0, b"OggS", "ogg"),
    (0, b"fLaC", "flac"),
    (0, b"FORM", "aiff"),
    (0, b"caff", "caf"),
    (4, b"ftyp", "m4a"),
    (0, b"\x1A\x45\xDF\xA3", "webm"),
];

/// Beginnings of what is often given by mistake, or is audio in a way that is not read.
const NOT_READ: [(usize, &[u8], &str); 16] = [
    (0, b"#!AMR", "it is AMR"),
    (0, b"\x30\x26\xB2\x75\x8E\x66\xCF\x11", "it is WMA"),
    (28, b"Speex   ", "it is ogg with Speex inside"),
    (0, b"RIFX", "it is a big-endian wav"),
    (0, b".snd", "it is a Sun au file"),
    (0, b".RMF", "it is RealAudio"),
    (0, b"MAC ", "it is Monkey's Audio"),
    (0, b"wvpk", "it is WavPack"),
    (0, b"TTA1", "it is True Audio"),
    (0, b"MThd", "it is MIDI: notes, no sound"),
    (8, b"AVI ", "it is an AVI film"),
    (0, b"\x89PNG", "it is a picture"),
    (0, b"\xFF\xD8\xFF", "it is a picture"),
    (0, b"GIF8", "it is a picture"),
    (0, b"%PDF", "it is a PDF"),
    (0, b"PK\x03\x04", "it is a zip file"),
];

/// Tells the format by its first [`HEAD`] bytes.
pub(super) fn sniff(head: &[u8]) -> Format {
    let stands = |at: usize, mark: &[u8]| head.get(at..at + mark.len()) == Some(mark);
    let riff = [&b"RIFF"[..], b"RF64", b"BW64"];
    if riff.iter().any(|mark| stands(0, mark)) && stands(8, b"WAVE") {
        return Format::Riff(Riff::Wav);
    }
    if stands(0, WAVE64) {
        return Format::Riff(Riff::Wave64);
    }
    if let Some((.., name)) = NOT_READ.iter().find(|(at, mark, _)| stands(*at, mark)) {
        return Format::NotRead(name);
    }
    if let Some((.., name)) = KNOWN.iter().find(|(at, mark, _)| stands(*at, mark)) {
        return Format::Known(name);
    }
    Format::Unknown
}

/// Bytes of the ID3 tag that begins here. It may hold a cover picture of any size.
pub(super) fn id3_length(head: &[u8]) -> Option<u64> {
    let [b'I', b'D', b'3', _, _, flags, size @ ..] = head.first_chunk::<10>()? else {
        return None;
    };
    if size.iter().any(|&byte| byte >= 0x80) {
        return None;
    }
    let size = size.iter().fold(0, |n, &byte| n << 7 | u64::from(byte));
    let footer = if flags & 0x10 == 0 { 0 } else { 10 };
    Some(10 + size + footer)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_told_by_their_bytes() {
        assert_eq!(sniff(b"RIFF\0\0\0\0WAVEfmt "), Format::Riff(Riff::Wav));
        assert_eq!(
            sniff(b"RF64\xFF\xFF\xFF\xFFWAVEds64"),
            Format::Riff(Riff::Wav)
        );
        assert_eq!(sniff(WAVE64), Format::Riff(Riff::Wave64));
        assert_eq!(sniff(b"\0\0\0\x20ftypM4A "), Format::Known("m4a"));
        assert_eq!(sniff(b"#!AMR\n"), Format::NotRead("it is AMR"));
        assert_eq!(
            sniff(b"RIFF\0\0\0\0AVI LIST"),
            Format::NotRead("it is an AVI film")
        );
        for unknown in [&b""[..], b"RIFF", b"What is", b"\xFF\xFB\x90\x00"] {
            assert_eq!(sniff(unknown), Format::Unknown);
        }
    }

    #[test]
    fn an_id3_tag_tells_its_length() {
        assert_eq!(id3_length(b"ID3\x04\0\0\0\0\x02\x01"), Some(10 + 257));
        assert_eq!(id3_length(b"ID3\x04\0\x10\0\0\0\0"), Some(20));
        for none in [&b"ID3"[..], b"ID3\x04\0\0\xFF\0\0\0", b"TAG0000000"] {
            assert_eq!(id3_length(none), None);
        }
    }
}
