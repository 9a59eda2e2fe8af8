use std::io::{self, Cursor, Read};

use hound::SampleFormat;

use super::super::{AudioError, Lasts, Limit, read_from};
use super::wavs::wav;
use super::{fixture, fixtures};

fn second_of_wav() -> Vec<u8> {
    wav(1, 16, SampleFormat::Int, vec![1i16; 16_000])
}

#[test]
fn a_longer_recording_is_refused_with_its_length() {
    let refusal = |limit: f64| {
        let refused = Limit::AtMost(limit).read_bytes(second_of_wav(), "a.wav");
        refused.unwrap_err().to_string()
    };
    assert_eq!(
        refusal(0.5),
        "a.wav lasts 1.0 s and only 0.5 s are heard; cut it"
    );
    assert!(refusal(0.99).starts_with("a.wav lasts 1.0 s and only 0.99 s"));
    assert!(refusal(15_999.0 / 16_000.0).starts_with("a.wav lasts 1.0 s"));
    for limit in [1.0, 2.0, 1e300] {
        let read = Limit::AtMost(limit).read_bytes(second_of_wav(), "a.wav");
        assert_eq!(read.unwrap().lasts, Lasts::Exactly(1.0));
    }
    for path in fixtures() {
        let refused = Limit::AtMost(0.2).read(&path).unwrap_err();
        assert!(matches!(refused, AudioError::TooLong { .. }), "{refused}");
        let told = refused.to_string();
        assert!(told.contains(" and only 0.2 s are heard; cut it") && !told.contains("--"));
    }
}

#[test]
fn of_the_first_seconds_no_more_is_kept() {
    for path in fixtures() {
        let whole = Limit::Whole.read(&path).unwrap();
        let first = Limit::First(0.1).read(&path).unwrap();
        let kept = first.pcm.samples();
        let rate = first.pcm.sample_rate() as usize;
        assert_eq!(kept.len(), rate / 10, "{path:?}");
        assert_eq!(kept, &whole.pcm.samples()[..kept.len()], "{path:?}");
        match first.lasts {
            // A container's word, padding and all.
            Lasts::Exactly(seconds) => assert!((seconds - whole.pcm.seconds()).abs() < 0.2),
            Lasts::MoreThan(seconds) => assert_eq!(seconds, 0.1),
        }
    }
    let first = Limit::First(0.5)
        .read_bytes(second_of_wav(), "a.wav")
        .unwrap();
    assert_eq!(first.lasts, Lasts::Exactly(1.0));
    let all = Limit::First(5.0)
        .read_bytes(second_of_wav(), "a.wav")
        .unwrap();
    assert_eq!(all.pcm.seconds(), 1.0);
}

/// Counts what is taken out of it.
struct Counted<R>(R, std::sync::Arc<std::sync::atomic::AtomicUsize>);

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.0.read(buffer)?;
        self.1.fetch_add(n, std::sync::atomic::Ordering::Relaxed);
        Ok(n)
    }
}

#[test]
fn a_stream_without_end_is_read_as_far_as_it_is_wanted() {
    let mut head = second_of_wav();
    head[4..8].fill(0xFF);
    head[40..44].fill(0xFF);
    let taken = std::sync::Arc::default();
    let endless = Counted(
        Cursor::new(head).chain(io::repeat(1)),
        std::sync::Arc::clone(&taken),
    );
    let first = Limit::First(3.0)
        .read_from(endless, "standard input")
        .unwrap();
    assert_eq!(first.pcm.seconds(), 3.0);
    assert_eq!(first.lasts, Lasts::MoreThan(3.0));
    let taken = taken.load(std::sync::atomic::Ordering::Relaxed);
    assert!(taken < 3 * 32_000 + 200_000, "{taken} bytes");
}

#[test]
fn what_never_ends_is_refused() {
    let zeros = read_from(io::repeat(0), "/dev/zero").unwrap_err();
    assert!(zeros.to_string().contains("no known format"), "{zeros}");
    let mut endless = fixture("aac.m4a");
    endless.truncate(40);
    let endless = read_from(Cursor::new(endless).chain(io::repeat(0)), "standard input");
    let told = endless.unwrap_err().to_string();
    assert!(
        told.starts_with("standard input brings more than 128 MiB"),
        "{told}"
    );
}

#[cfg(unix)]
#[test]
fn a_device_that_never_ends_is_refused() {
    let zeros = super::super::read(std::path::Path::new("/dev/zero")).unwrap_err();
    assert!(zeros.to_string().contains("no known format"), "{zeros}");
}

#[test]
fn a_failing_disk_is_not_the_end_of_the_file() {
    struct Broken;
    impl Read for Broken {
        fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
            Err(io::Error::other("the disk is on fire"))
        }
    }
    let bytes = second_of_wav()[..9000].to_vec();
    let told = read_from(Cursor::new(bytes).chain(Broken), "a.wav")
        .unwrap_err()
        .to_string();
    assert_eq!(told, "cannot read a.wav: the disk is on fire");
}

#[test]
fn hours_of_sound_in_few_bytes_are_not_decoded() {
    // 8 MB, 83 minutes.
    let many = fixture("opus_silk.ogg").repeat(20_000);
    let start = std::time::Instant::now();
    let told = Limit::AtMost(30.0)
        .read_bytes(many, "bomb.ogg")
        .unwrap_err();
    assert!(matches!(told, AudioError::TooLong { .. }), "{told}");
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}

#[test]
fn a_length_that_was_left_open_is_unknown() {
    let mut bytes = fixture("s16.w64");
    let data = bytes.windows(4).position(|name| name == b"data").unwrap();
    bytes[data + 16..][..8].copy_from_slice(&(i64::MAX as u64).to_le_bytes());
    let pipe = Cursor::new(bytes);
    let refused = Limit::AtMost(0.2).read_from(pipe, "standard input");
    let told = refused.unwrap_err().to_string();
    assert!(
        told.starts_with("standard input lasts more than 0.2 s and"),
        "{told}"
    );
}
