//! Nothing leaves the machine, and nothing is written but what was asked for.

mod common;

use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

use common::*;

/// Files below a folder.
fn files(folder: &Path) -> Vec<String> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        found.extend(files(&path));
        found.push(path.display().to_string());
    }
    found
}

/// What a run without the marks of a CI machine, on which ONNX Runtime keeps its telemetry to itself,
/// asks of the system: sockets, and files opened to be written. `None` where there is no strace.
fn run(home: &Path, out: &Path) -> Option<Vec<String>> {
    let log = home.with_extension("strace");
    let has_strace = Command::new("strace")
        .arg("-V")
        .stdout(Stdio::null())
        .status();
    let mut command = if has_strace.is_ok_and(|status| status.success()) {
        let mut strace = Command::new("strace");
        strace.args([
            "-f",
            "-e",
            "trace=openat,open,creat,socket,connect,mkdir,mkdirat",
        ]);
        strace
            .arg("-o")
            .arg(&log)
            .arg(env!("CARGO_BIN_EXE_mini-omni"));
        strace
    } else {
        Command::new(env!("CARGO_BIN_EXE_mini-omni"))
    };
    for mark in ["CI", "GITHUB_ACTIONS", "TF_BUILD", "ORT_DISABLE_TELEMETRY"] {
        command.env_remove(mark);
    }
    let output = command
        .env("HOME", home)
        .env("XDG_CACHE_HOME", home.join(".cache"))
        .args(["ask", text(&model()), text(&question()), "--max-steps", "9"])
        .args(["--out", text(out)])
        .stdin(Stdio::null())
        .output()
        .expect("the binary runs");
    assert!(output.status.success(), "{}", stderr(&output));
    let log = fs::read_to_string(log).ok()?;
    let tells = |line: &&str| {
        ["socket(", "connect(", "mkdir", "creat("]
            .iter()
            .any(|call| line.contains(call))
            || ["O_WRONLY", "O_RDWR", "O_CREAT"]
                .iter()
                .any(|flag| line.contains(flag))
    };
    Some(log.lines().filter(tells).map(String::from).collect())
}

#[test]
fn a_run_opens_no_socket_and_writes_no_file_but_the_one_it_was_given() {
    let folder = tempfile::tempdir().expect("a folder");
    let (home, out) = (folder.path().join("home"), folder.path().join("out"));
    fs::create_dir(&home).expect("a home");
    fs::create_dir(&out).expect("a folder");
    let calls = run(&home, &out.join("answer.wav"));
    assert_eq!(files(&home), Vec::<String>::new(), "the home stays empty");
    let named = |call: &&String| call.contains(text(&out)) || call.contains("/dev/null");
    let others: Vec<_> = calls.iter().flatten().filter(|call| !named(call)).collect();
    assert!(others.is_empty(), "{others:#?}");
}
