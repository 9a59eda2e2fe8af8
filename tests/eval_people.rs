//! `mini-omni eval` on people's speech: five questions, which the bundled model understands, and ten
//! sentences of the news, which it never learned to.

mod common;

use common::*;
use serde_json::Value;

/// Words of the labels, and what share of them may be wrong: what was measured, and about half as many
/// more.
const QUESTIONS: (u64, f64) = (23, 0.2);

fn eval(set: &str, args: &[&str]) -> Value {
    let set = root().join("tests/fixtures/eval").join(set);
    let model = bundled();
    let both = ["eval", text(&model), "--data", text(&set), "--json", "-"];
    let output = mini_omni(&[&both[..], args].concat());
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    serde_json::from_slice(&output.stdout).expect("figures")
}

#[test]
fn peoples_questions_are_answered_and_nearly_transcribed() {
    let answered = eval("people.jsonl", &["--task", "a1t2", "--min-right", "0.8"]);
    assert_eq!(answered["answers"]["of"], 5);
    let most = QUESTIONS.1.to_string();
    let heard = eval("people.jsonl", &["--task", "a1t1", "--max-wer", &most]);
    let words = &heard["transcription"]["whisper"]["words"];
    assert_eq!(words["errors"]["of"], QUESTIONS.0);
    assert_eq!(words["median"], 0.0, "{words}");
}

#[test]
fn news_goes_through_and_counts_as_what_it_is() {
    let found = eval("news.jsonl", &[]);
    assert_eq!((&found["items"], &found["cut"]), (&10.into(), &0.into()));
    let rates = &found["transcription"];
    // "25 to 30 year" and "don't" are other words after each rule.
    for (rule, n_words) in [("whisper", 212), ("original", 209)] {
        let words = &rates[rule]["words"];
        assert_eq!(words["errors"]["of"], n_words, "{words}");
        let rate = words["corpus"].as_f64().expect("a rate");
        assert!((0.8..1.4).contains(&rate), "the domain has no news: {rate}");
    }
}
