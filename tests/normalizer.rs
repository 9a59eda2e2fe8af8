//! The English normaliser against Whisper's own, which made `tests/fixtures/normalizer`.

mod common;

use std::fs;
use std::path::PathBuf;

use common::root;
use mini_omni::eval::Rule;

/// Names another file of sentences (`make.py --count`).
const SENTENCES: &str = "NORMALIZER_SENTENCES";

#[test]
fn every_sentence_becomes_what_whisper_makes_of_it() {
    let committed = root().join("tests/fixtures/normalizer/sentences.jsonl");
    let path = std::env::var_os(SENTENCES).map_or(committed, PathBuf::from);
    let lines = fs::read_to_string(path).expect("sentences");
    let mut n = 0;
    for line in lines.lines() {
        let (sentence, expected): (String, String) = serde_json::from_str(line).expect("a pair");
        assert_eq!(Rule::Whisper.normalize(&sentence), expected, "{sentence:?}");
        n += 1;
    }
    assert!(n >= 3000, "only {n} sentences");
}

/// Corners by name, so that a reader sees what the rules do; expected values by the original, too.
#[test]
fn corners_are_whispers() {
    for (sentence, expected) in [
        ("Twenty-one", "21"),
        ("one oh one", "101"),
        ("two and a half million", "2500000"),
        ("$20 million", "$20000000"),
        ("two dollars and seven cents", "$2.07"),
        ("five per cent", "5%"),
        (
            "the twenty first of May, nineteen ninety",
            "the 21st of may 1990",
        ),
        ("the ninth", "the ninth"),
        ("1.5", "one.5"),
        ("I won't, y'all can't", "i will not you all can not"),
        ("Mr. O'Brien's colour", "mister 0 brien is color"),
        ("um, the [noise] café (sic)", "the cafe"),
        ("double oh seven", "007"),
        ("minus ten", "-10"),
    ] {
        assert_eq!(Rule::Whisper.normalize(sentence), expected, "{sentence:?}");
    }
}
