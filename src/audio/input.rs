//! Where a recording's bytes come from: a file, memory, or a pipe that may never end.
//!
//! Demuxers want to jump about. A file lets them; of a pipe, what has been read is held in memory,
//! and no more is read than somebody asks for, up to [`MOST_HELD`]. Demuxers also take a failing disk
//! for the end of the file, so failures are kept for the report on the reading.

use std::fs::File;
use std::io::{self, Cursor, ErrorKind, Read, Seek, SeekFrom};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use symphonia::core::io::MediaSource;

/// Bytes of a pipe: more than ten minutes of stereo at 48 kHz in 16 bits.
pub(super) const MOST_HELD: u64 = 128 << 20;

/// Bytes that can be read from any place.
pub(super) struct Input {
    bytes: Bytes,
    trouble: Arc<Mutex<Option<Trouble>>>,
}

enum Bytes {
    File(File),
    Memory(Cursor<Vec<u8>>),
    Pipe(Pipe),
}

/// Why bytes stopped coming.
pub(super) enum Trouble {
    /// The system failed.
    Failed(io::Error),
    /// A pipe brought more than is held.
    Endless,
}

/// Asks, after the reading, whether the bytes stopped coming.
pub(super) struct Watch(Arc<Mutex<Option<Trouble>>>);

impl Watch {
    pub fn trouble(&self) -> Option<Trouble> {
        let mut trouble = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        trouble.take()
    }
}

impl Input {
    fn new(bytes: Bytes) -> Input {
        let trouble = Arc::default();
        Input { bytes, trouble }
    }

    pub fn open(path: &Path) -> io::Result<Input> {
        let file = File::open(path)?;
        let kind = file.metadata()?.file_type();
        if kind.is_dir() {
            return Err(ErrorKind::IsADirectory.into());
        }
        if kind.is_file() {
            return Ok(Input::new(Bytes::File(file)));
        }
        Ok(Input::pipe(file))
    }

    pub fn memory(bytes: Vec<u8>) -> Input {
        Input::new(Bytes::Memory(Cursor::new(bytes)))
    }

    pub fn pipe(reader: impl Read + Send + Sync + 'static) -> Input {
        Input::new(Bytes::Pipe(Pipe {
            reader: Box::new(reader),
            held: Vec::new(),
            at: 0,
            ended: false,
        }))
    }

    pub fn watch(&self) -> Watch {
        Watch(Arc::clone(&self.trouble))
    }

    /// How many bytes there are. A pipe is read to its end for it.
    pub fn length(&mut self) -> io::Result<u64> {
        let at = self.stream_position()?;
        let length = self.seek(SeekFrom::End(0))?;
        self.seek(SeekFrom::Start(at))?;
        Ok(length)
    }

    /// How many bytes there are, as far as anybody knows without reading a pipe.
    pub fn known_length(&self) -> Option<u64> {
        match &self.bytes {
            Bytes::File(file) => Some(file.metadata().ok()?.len()),
            Bytes::Memory(bytes) => Some(bytes.get_ref().len() as u64),
            Bytes::Pipe(pipe) => pipe.ended.then_some(pipe.held.len() as u64),
        }
    }

    /// At most `most` bytes from `at` on.
    pub fn piece(&mut self, at: u64, most: usize) -> io::Result<Vec<u8>> {
        let mut piece = Vec::new();
        self.seek(SeekFrom::Start(at))?;
        self.take(most as u64).read_to_end(&mut piece)?;
        Ok(piece)
    }

    fn noted<T>(&self, result: io::Result<T>) -> io::Result<T> {
        result.map_err(|error| {
            let kind = error.kind();
            // A seek to nowhere is the demuxer's fault, not the system's.
            let trouble = match kind {
                ErrorKind::Interrupted | ErrorKind::InvalidInput => return error,
                ErrorKind::FileTooLarge => Trouble::Endless,
                _ => Trouble::Failed(error),
            };
            let mut noted = self.trouble.lock().unwrap_or_else(PoisonError::into_inner);
            noted.get_or_insert(trouble);
            kind.into()
        })
    }
}

impl Read for Input {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let result = match &mut self.bytes {
            Bytes::File(file) => file.read(buffer),
            Bytes::Memory(bytes) => bytes.read(buffer),
            Bytes::Pipe(pipe) => pipe.read(buffer),
        };
        self.noted(result)
    }
}

impl Seek for Input {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let result = match &mut self.bytes {
            Bytes::File(file) => file.seek(to),
            Bytes::Memory(bytes) => bytes.seek(to),
            Bytes::Pipe(pipe) => pipe.seek(to),
        };
        self.noted(result)
    }
}

/// What came out of a pipe so far.
struct Pipe {
    reader: Box<dyn Read + Send + Sync>,
    held: Vec<u8>,
    at: u64,
    ended: bool,
}

impl Pipe {
    /// Holds the bytes before `end`, or all there are.
    fn hold(&mut self, end: u64) -> io::Result<()> {
        const PIECE: u64 = 64 << 10;
        while !self.ended && (self.held.len() as u64) < end {
            if self.held.len() as u64 >= MOST_HELD {
                return Err(ErrorKind::FileTooLarge.into());
            }
            let mut piece = [0; PIECE as usize];
            match self.reader.read(&mut piece) {
                Ok(0) => self.ended = true,
                Ok(n) => self.held.extend_from_slice(&piece[..n]),
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

impl Read for Pipe {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let here = |pipe: &Pipe| pipe.held.get(pipe.at as usize..).map_or(0, <[u8]>::len);
        if here(self) == 0 {
            self.hold(self.at.saturating_add(1))?;
        }
        let n = here(self).min(buffer.len());
        if n > 0 {
            buffer[..n].copy_from_slice(&self.held[self.at as usize..][..n]);
            self.at += n as u64;
        }
        Ok(n)
    }
}

impl Seek for Pipe {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => {
                self.hold(u64::MAX)?;
                (self.held.len() as u64).checked_add_signed(by)
            }
        };
        self.at = target.ok_or(ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

/// A header of our own, or none, a part of the input, and an ending of our own, or none.
pub(super) struct Part {
    head: Vec<u8>,
    input: Input,
    /// Of the input's bytes: first, and one past the last.
    body: (u64, u64),
    tail: Vec<u8>,
    at: u64,
    seekable: bool,
}

impl Part {
    /// `head`, then the input's bytes from `start` to `end`, or to its last.
    pub fn new(head: Vec<u8>, input: Input, start: u64, end: u64) -> Part {
        Part {
            head,
            input,
            body: (start, end.max(start)),
            tail: Vec::new(),
            at: 0,
            seekable: true,
        }
    }

    /// With `tail` where its last byte was.
    pub fn ending_in(mut self, tail: Vec<u8>) -> Part {
        self.tail = tail;
        self
    }

    /// To be read from its beginning to its end, wherever that is.
    pub fn straight_on(mut self) -> Part {
        self.seekable = false;
        self
    }

    fn known_length(&self) -> Option<u64> {
        let all = self.input.known_length()?;
        let (start, end) = self.body;
        let body = end.min(all).saturating_sub(start);
        Some((self.head.len() + self.tail.len()) as u64 + body)
    }
}

impl Read for Part {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let head = self.head.len() as u64;
        if self.at < head {
            let n = (&self.head[self.at as usize..]).read(buffer)?;
            self.at += n as u64;
            return Ok(n);
        }
        let (start, end) = self.body;
        let from = start.saturating_add(self.at - head);
        let most = end.saturating_sub(from).min(buffer.len() as u64) as usize;
        if most == 0 {
            let behind = from.saturating_sub(end) as usize;
            let n = self.tail.get(behind..).unwrap_or_default().read(buffer)?;
            self.at += n as u64;
            return Ok(n);
        }
        self.input.seek(SeekFrom::Start(from))?;
        let n = self.input.read(&mut buffer[..most])?;
        self.at += n as u64;
        Ok(n)
    }
}

impl Seek for Part {
    fn seek(&mut self, to: SeekFrom) -> io::Result<u64> {
        let target = match to {
            SeekFrom::Start(at) => Some(at),
            SeekFrom::Current(by) => self.at.checked_add_signed(by),
            SeekFrom::End(by) => {
                self.input.length()?;
                let length = self.known_length().ok_or(ErrorKind::InvalidInput)?;
                length.checked_add_signed(by)
            }
        };
        // Beyond 2^63 no system seeks.
        let reachable = |at: &u64| *at <= i64::MAX as u64;
        self.at = target.filter(reachable).ok_or(ErrorKind::InvalidInput)?;
        Ok(self.at)
    }
}

impl MediaSource for Part {
    fn is_seekable(&self) -> bool {
        self.seekable
    }

    fn byte_len(&self) -> Option<u64> {
        self.seekable.then(|| self.known_length()).flatten()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_can_be_read_from_any_place_and_no_further_than_asked() {
        let mut input = Input::pipe(io::repeat(7));
        assert_eq!(input.piece(100_000, 3).unwrap(), [7; 3]);
        assert_eq!(input.piece(0, 2).unwrap(), [7; 2]);
        let Bytes::Pipe(pipe) = &input.bytes else {
            panic!("a pipe");
        };
        assert!(pipe.held.len() < 200_000);
    }

    #[test]
    fn a_pipe_without_end_is_known_as_one() {
        let mut input = Input::pipe(io::repeat(7));
        let watch = input.watch();
        assert!(watch.trouble().is_none());
        assert!(input.length().is_err());
        assert!(matches!(watch.trouble(), Some(Trouble::Endless)));
        let mut input = Input::pipe(Cursor::new(vec![1, 2, 3]));
        assert_eq!(input.length().unwrap(), 3);
        assert!(input.watch().trouble().is_none());
    }

    #[test]
    fn a_part_is_a_header_and_a_window() {
        for input in [
            Input::memory((0..10).collect()),
            Input::pipe(Cursor::new((0..10).collect::<Vec<u8>>())),
        ] {
            let mut part = Part::new(vec![99], input, 4, 8);
            let mut bytes = Vec::new();
            part.read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes, [99, 4, 5, 6, 7]);
            assert_eq!(part.seek(SeekFrom::End(-1)).unwrap(), 4);
            assert_eq!(part.byte_len(), Some(5));
            bytes.clear();
            part.read_to_end(&mut bytes).unwrap();
            assert_eq!(bytes, [7]);
            assert!(part.seek(SeekFrom::Current(-99)).is_err());
        }
        let window = Part::new(vec![9], Input::memory((0..10).collect()), 4, 6);
        let mut bytes = Vec::new();
        let mut part = window.ending_in(vec![98, 97]);
        part.read_to_end(&mut bytes).unwrap();
        assert_eq!(bytes, [9, 4, 5, 98, 97]);
        assert_eq!(part.seek(SeekFrom::End(-1)).unwrap(), 4);
        let mut beyond = Part::new(vec![], Input::memory(vec![1]), 5, 9);
        assert_eq!(beyond.read(&mut [0; 4]).unwrap(), 0);
        assert_eq!(beyond.byte_len(), Some(0));
    }
}
