//! Tokenizers from strangers: they put a text into ids and back, or a sentence says why not.

#![no_main]

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use mini_omni::Manifest;
use mini_omni::model::check_tokenizer;

/// The committed model that the tokenizer claims to belong to.
fn manifest() -> &'static Manifest {
    static MANIFEST: OnceLock<Manifest> = OnceLock::new();
    MANIFEST.get_or_init(|| {
        let text = include_str!("../../onnx/tiny-random/manifest.json");
        Manifest::from_json(text).expect("the committed manifest")
    })
}

fuzz_target!(|bytes: &[u8]| {
    // libFuzzer's hook aborts on a panic before it can be caught; what is caught here is an error.
    static HOOK: std::sync::Once = std::sync::Once::new();
    HOOK.call_once(|| std::panic::set_hook(Box::new(|_| {})));
    let text = "Grüße, 3 aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\t xxxxxxxxxxxxxxxxxx?";
    if let Err(refusal) = check_tokenizer(bytes, manifest(), text) {
        assert!(!refusal.to_string().contains('\n'));
    }
});
