//! Manifests from strangers: a description whose sizes can be true, or a sentence.

#![no_main]

use libfuzzer_sys::fuzz_target;
use mini_omni::Manifest;

fuzz_target!(|bytes: &[u8]| {
    let Ok(text) = std::str::from_utf8(bytes) else {
        return;
    };
    match Manifest::from_json(text) {
        Ok(manifest) => {
            assert!(manifest.mel.max_frames() > 0 && manifest.codec.flush_frames() <= 64);
            assert_eq!(manifest.hash().len(), 64);
        }
        Err(refusal) => assert!(!refusal.to_string().contains('\n')),
    }
});
