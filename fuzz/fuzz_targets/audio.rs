//! Recordings from strangers, as files and as pipes: samples or a sentence, nothing else.
//!
//! The reader contains symphonia's panics; here, too, they are let pass, and all others are found.

#![no_main]

use std::io::Cursor;
use std::panic;

use libfuzzer_sys::fuzz_target;
use mini_omni::audio::{Limit, Recording, resample};

fn let_symphonia_panic() {
    let abort = panic::take_hook();
    panic::set_hook(Box::new(move |info| {
        let file = info.location().map_or("", |location| location.file());
        if !file.contains("/symphonia-") {
            abort(info);
        }
    }));
}

fuzz_target!(init: let_symphonia_panic(), |bytes: &[u8]| {
    let limit = Limit::First(2.0);
    for read in [
        limit.read_bytes(bytes.to_vec(), "fuzz"),
        limit.read_from(Cursor::new(bytes.to_vec()), "fuzz"),
    ] {
        match read {
            Ok(Recording { pcm, .. }) => {
                let heard = resample(&pcm, 16_000).map(|pcm| pcm.samples().len());
                assert!(heard.is_ok_and(|n| n <= 2 * 16_000 + 1));
            }
            Err(refusal) => assert!(!refusal.to_string().is_empty()),
        }
    }
});
