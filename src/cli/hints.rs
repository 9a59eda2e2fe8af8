//! What to do about an error: the library says what is wrong, here stands which option, command or
//! chore helps.

use mini_omni::{Error, ErrorKind};

/// The remedy for what went wrong, if this program has one.
pub fn hint(error: &anyhow::Error) -> Option<&'static str> {
    let library = error
        .chain()
        .find_map(|cause| cause.downcast_ref::<Error>());
    library.and_then(|error| of(error.kind()))
}

fn of(kind: ErrorKind) -> Option<&'static str> {
    match kind {
        ErrorKind::NeedsAudio => Some("give an audio file, or another --task"),
        ErrorKind::NeedsText => Some("give --text, or another --task"),
        ErrorKind::NoWords => Some("write the question behind --text"),
        ErrorKind::Provider => {
            Some("--provider cpu always works; --provider auto takes the best there is")
        }
        ErrorKind::Kernels => Some("without --kernels the fastest compute that this processor has"),
        ErrorKind::Runtime => Some("`make onnxruntime` in the source tree fetches ONNX Runtime"),
        ErrorKind::Model => Some(
            "`mini-omni inspect MODEL --verify` checks a model folder, mini-omni-export makes one",
        ),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hint_is_found_behind_context_and_is_no_guess() {
        let missing = mini_omni::Manifest::load("/nowhere".as_ref()).expect_err("no model");
        let error = anyhow::Error::new(missing).context("nothing was asked");
        assert!(hint(&error).is_some_and(|hint| hint.contains("inspect MODEL --verify")));
        assert_eq!(hint(&anyhow::anyhow!("the moon is full")), None);
    }

    #[test]
    fn each_kind_that_an_option_helps_with_names_it() {
        for (kind, option) in [
            (ErrorKind::NeedsAudio, "an audio file"),
            (ErrorKind::NeedsText, "--text"),
            (ErrorKind::NoWords, "--text"),
            (ErrorKind::Provider, "--provider cpu"),
            (ErrorKind::Kernels, "without --kernels"),
            (ErrorKind::Runtime, "make onnxruntime"),
            (ErrorKind::Model, "mini-omni-export"),
        ] {
            assert!(of(kind).is_some_and(|hint| hint.contains(option)));
        }
    }
}
