//! What the tests of `mini-omni eval` share.

use std::path::{Path, PathBuf};
use std::process::Output;

use serde_json::Value;

use super::{mini_omni, root, stderr, text};

/// Written questions, quickly answered by the random model.
pub const QUESTIONS: &str = "\
{\"id\": \"a\", \"question\": \"What is your name?\", \"answer\": \"x\"}
{\"id\": \"b\", \"question\": \"How are you?\", \"answer\": [\"y\", \"z\"]}

{\"id\": \"c\", \"question\": \"Who are you?\", \"pattern\": \".\"}
{\"question\": \"Why?\", \"answer\": \"x\", \"pattern\": \"^$\"}
";

pub fn sets() -> PathBuf {
    root().join("tests/fixtures/eval")
}

/// Runs eval on a set, JSON on standard output.
pub fn eval(model: &Path, set: &Path, args: &[&str]) -> Output {
    let both = ["eval", text(model), "--data", text(set), "--json", "-"];
    mini_omni(&[&both[..], args].concat())
}

pub fn figures(output: &Output) -> Value {
    serde_json::from_slice(&output.stdout).unwrap_or_else(|e| panic!("{e}: {}", stderr(output)))
}

/// The lines of a results file by id, without the time that each took.
pub fn lines(path: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(path).expect("results");
    let lines = text.lines().skip(1);
    let mut lines: Vec<Value> = lines
        .map(|line| serde_json::from_str(line).expect("a line"))
        .map(|mut line: Value| {
            line["total_ms"] = Value::Null;
            line
        })
        .collect();
    lines.sort_by_key(|line| line["id"].to_string());
    lines
}
