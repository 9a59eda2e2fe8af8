//! Files that are written: whole, once, where they were, and as they were.
#![cfg(target_os = "linux")]

mod common;

use std::fs::{self, Permissions};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use common::*;

const NOBODY: u32 = 65_534;

/// A short spoken answer of the random model to `out`.
fn answer_to(out: &Path) -> Output {
    mini_omni(&spoken(&model(), out))
}

fn spoken<'a>(model: &'a Path, out: &'a Path) -> Vec<&'a str> {
    let asked = ["ask", text(model), "--text", "Hello", "--max-steps", "40"];
    [&asked[..], &["--out", text(out)]].concat()
}

fn is_wav(path: &Path) -> bool {
    fs::read(path).expect("a file").starts_with(b"RIFF")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).expect("a folder");
    let name = |entry: fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let mut names: Vec<_> = entries.map(|e| name(e.expect("an entry"))).collect();
    names.sort();
    names
}

fn is_root() -> bool {
    fs::metadata("/proc/self").is_ok_and(|me| me.uid() == 0)
}

/// The output of a script in a mount namespace of its own, where this system allows what `mount` does.
/// Mounts go with the script, whose $0 is the binary and $@ its arguments.
fn behind_mount(mount: &str, script: &str, args: &[&str]) -> Option<Output> {
    let run = |script: &str| {
        Command::new("unshare")
            .args(["-rm", "sh", "-c", script])
            .arg(env!("CARGO_BIN_EXE_mini-omni"))
            .args(args)
            .stdin(Stdio::null())
            .output()
            .ok()
    };
    let allowed = run(mount).is_some_and(|output| output.status.success());
    if !allowed {
        eprintln!("not tested here, since this system forbids it: {mount}");
        return None;
    }
    run(script)
}

#[test]
fn one_file_is_not_written_twice() {
    let (folder, model) = (tempfile::tempdir().expect("a folder"), model());
    let at = |name: &str| folder.path().join(name);
    fs::write(at("there"), "before").expect("written");
    fs::hard_link(at("there"), at("second name")).expect("a second name");
    symlink("there", at("link")).expect("a link");
    symlink("new", at("link to new")).expect("a link");
    for (out, trace) in [
        ("there", "there"),
        ("there", "second name"),
        ("link", "there"),
        ("new", "./new"),
        ("new", "link to new"),
    ] {
        let mut args = spoken(&model, Path::new(out));
        args.extend(["--trace", trace]);
        let output = command(&args)
            .current_dir(&folder)
            .output()
            .expect("the binary runs");
        assert_refused(&output, "both want");
        assert_eq!(fs::read(at("there")).expect("a file"), b"before");
    }
    let both = ["--trace", "/dev/null"];
    let output = mini_omni(&[&spoken(&model, Path::new("/dev/null"))[..], &both].concat());
    assert!(output.status.success(), "a device takes all");
}

#[test]
fn what_is_read_is_not_overwritten() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    let own = at("model");
    copy_model(&model(), &own);
    fs::copy(question(), at("question.wav")).expect("a copy");
    fs::write(at("question.txt"), "Hello").expect("written");
    symlink("question.wav", at("link.wav")).expect("a link");
    let (model, wav, txt, link, onnx) = (
        text(&own),
        &at("question.wav"),
        &at("question.txt"),
        &at("link.wav"),
        &own.join("decoder.onnx"),
    );
    let (wav, txt, link, onnx) = (text(wav), text(txt), text(link), text(onnx));
    for args in [
        vec!["ask", model, wav, "--out", wav],
        vec!["ask", model, wav, "--out", link],
        vec!["ask", model, link, "--trace", wav],
        vec!["ask", model, "--text-file", txt, "--trace", txt],
        vec!["ask", model, wav, "--out", onnx],
        vec!["compare", model, "--reference", model, wav, "--json", wav],
        vec!["compare", model, "--reference", model, "--json", onnx],
        vec!["bench", model, wav, "--json", link],
        vec!["bench", model, "--json", onnx],
    ] {
        assert_refused(&mini_omni(&args), "would overwrite");
    }
    let beside = own.join("answer.wav");
    fs::write(&beside, "an answer of before").expect("written");
    assert!(answer_to(&beside).status.success());
    let stdin = fs::File::open(wav).expect("a question");
    let mut from_stdin = command(&["ask", model, "-", "--out", wav]);
    let output = from_stdin.stdin(stdin).output().expect("the binary runs");
    assert_refused(&output, "would overwrite the question");
    assert_eq!(
        fs::read(wav).expect("a wav"),
        fs::read(question()).expect("a wav")
    );
}

#[test]
fn the_text_in_a_file_is_not_overwritten_by_the_sound() {
    let (folder, model) = (tempfile::tempdir().expect("a folder"), model());
    let file = folder.path().join("answer");
    let both = fs::File::create(&file).expect("a file");
    let mut asked = command(&spoken(&model, &file));
    assert_refused(
        &asked.stdout(both).output().expect("the binary runs"),
        "both want",
    );
}

#[test]
fn signals_leave_no_hidden_file_and_what_was_there() {
    for (name, number) in [("INT", 2), ("TERM", 15), ("HUP", 1), ("KILL", 9)] {
        if is_ignored(number) {
            continue;
        }
        let (folder, model) = (tempfile::tempdir().expect("a folder"), model());
        let wav = folder.path().join("answer.wav");
        fs::write(&wav, "before").expect("written");
        // Without a limit, the answer of this model is long.
        let mut child = command(&["ask", text(&model), "--text", "Hi", "--out", text(&wav)])
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .expect("the binary starts");
        let stdout = child.stdout.as_mut().expect("a pipe");
        stdout.read_exact(&mut [0]).expect("an answer begun");
        assert_eq!(names(folder.path()), ["answer.wav"]);
        let pid = child.id().to_string();
        let sent = Command::new("kill").args(["-s", name, &pid]).status();
        assert!(sent.expect("kill").success());
        assert_eq!(child.wait().expect("an end").signal(), Some(number));
        assert_eq!(names(folder.path()), ["answer.wav"]);
        assert_eq!(fs::read(&wav).expect("a file"), b"before");
    }
}

/// Whether this test was started to ignore a signal, as nohup and background jobs are; so is then
/// what it starts (Linux).
fn is_ignored(signal: i32) -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let mask = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok());
    mask.unwrap_or(0) & (1 << (signal - 1)) != 0
}

#[test]
fn a_signal_that_was_to_be_ignored_is_ignored() {
    let (folder, model) = (tempfile::tempdir().expect("a folder"), model());
    let wav = folder.path().join("answer.wav");
    let mut child = Command::new("sh")
        .args(["-c", "trap '' HUP; exec \"$0\" \"$@\""])
        .arg(env!("CARGO_BIN_EXE_mini-omni"))
        .args(spoken(&model, &wav))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("a shell");
    let stdout = child.stdout.as_mut().expect("a pipe");
    stdout.read_exact(&mut [0]).expect("an answer begun");
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-s", "HUP", &pid]).status();
    assert!(sent.expect("kill").success());
    assert!(child.wait_with_output().expect("an end").status.success());
    assert!(is_wav(&wav));
}

#[test]
fn mode_and_owner_of_a_file_that_was_there_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let wav = folder.path().join("answer.wav");
    for mode in [0o600, 0o640, 0o666, 0o755] {
        fs::write(&wav, "before").expect("written");
        fs::set_permissions(&wav, Permissions::from_mode(mode)).expect("a mode");
        if is_root() {
            chown(&wav, Some(NOBODY), Some(NOBODY)).expect("an owner");
        }
        let before = fs::metadata(&wav).expect("a file");
        let output = answer_to(&wav);
        assert!(output.status.success(), "{}", stderr(&output));
        let after = fs::metadata(&wav).expect("a file");
        assert!(is_wav(&wav));
        assert_eq!(after.mode(), before.mode());
        assert_eq!((after.uid(), after.gid()), (before.uid(), before.gid()));
        fs::remove_file(&wav).expect("removed");
    }
}

#[test]
fn links_stay_links_and_second_names_stay_the_same_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    fs::write(at("file"), "before").expect("written");
    symlink("file", at("link")).expect("a link");
    symlink("new", at("link to new")).expect("a link");
    for link in ["link", "link to new"] {
        assert!(answer_to(&at(link)).status.success());
        assert!(fs::symlink_metadata(at(link)).expect("a link").is_symlink());
    }
    assert!(is_wav(&at("file")) && is_wav(&at("new")));
    fs::write(at("file"), "before").expect("written");
    fs::hard_link(at("file"), at("second")).expect("a second name");
    assert!(answer_to(&at("second")).status.success());
    assert!(is_wav(&at("file")));
}

#[test]
fn a_mounted_file_is_written_in_place() {
    let (folder, model) = (tempfile::tempdir().expect("a folder"), model());
    let at = |name: &str| folder.path().join(name);
    fs::write(at("host"), vec![b'x'; 1 << 20]).expect("longer than the answer");
    fs::write(at("guest"), "").expect("written");
    let (host, guest) = (at("host"), at("guest"));
    let mount = format!("mount --bind {} {}", text(&host), text(&guest));
    let script = format!("{mount} && exec \"$0\" \"$@\"");
    let Some(output) = behind_mount(&mount, &script, &spoken(&model, &guest)) else {
        return;
    };
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(hound::WavReader::open(&host).expect("a wav").duration() > 0);
    let length = fs::metadata(&host).expect("a file").len();
    assert!(length < 1 << 20, "nothing of the old file is left");
    assert_eq!(names(folder.path()), ["guest", "host"]);
}

#[test]
fn a_file_in_a_folder_that_is_closed_is_written_in_place() {
    let (folder, model) = (tempfile::tempdir().expect("a folder"), model());
    let wav = folder.path().join("answer.wav");
    fs::write(&wav, "before").expect("written");
    fs::set_permissions(&wav, Permissions::from_mode(0o666)).expect("a mode");
    fs::set_permissions(&folder, Permissions::from_mode(0o555)).expect("a mode");
    let ask = |args: &[&str]| {
        let mut asked = command(args);
        if is_root() {
            asked.uid(NOBODY);
        }
        asked.output()
    };
    if !ask(&["inspect", text(&model)]).is_ok_and(|output| output.status.success()) {
        return eprintln!("not tested here: others than root may not read this folder");
    }
    let output = ask(&spoken(&model, &wav)).expect("the binary runs");
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(is_wav(&wav));
    let new = folder.path().join("new.wav");
    let output = ask(&spoken(&model, &new)).expect("the binary runs");
    assert_refused(&output, &format!("cannot write {}", text(&new)));
    fs::set_permissions(&wav, Permissions::from_mode(0o444)).expect("a mode");
    let output = ask(&spoken(&model, &wav)).expect("the binary runs");
    assert_refused(&output, "ermission denied");
}

#[test]
fn a_full_disk_keeps_the_old_file_and_no_hidden_one() {
    let (folder, model) = (tempfile::tempdir().expect("a folder"), model());
    let disk = folder.path().join("disk");
    fs::create_dir(&disk).expect("a folder");
    let (disk, wav) = (text(&disk), disk.join("answer.wav"));
    let mount =
        format!("mount -t tmpfs -o size=64k none {disk} && echo before > {disk}/answer.wav");
    // A file with a second name is written in place, which must not cost it either.
    for more in ["true", &format!("ln {disk}/answer.wav {disk}/second")] {
        let script = format!("{mount} && {more} && \"$0\" \"$@\" >&2; ls -A {disk}; cat {disk}/*");
        let args = spoken(&model, &wav);
        let Some(output) = behind_mount(&mount, &script, &args) else {
            return;
        };
        let said = stderr(&output);
        let error = said.lines().find(|line| line.starts_with("error: "));
        let error = error.expect("an error on a line of its own");
        assert!(
            error.contains(&format!("cannot write {}: ", text(&wav))),
            "{said}"
        );
        assert!(!said.contains(".mini-omni-"), "{said}");
        let kept = String::from_utf8_lossy(&output.stdout).into_owned();
        let expected = match more {
            "true" => "answer.wav\nbefore\n",
            _ => "answer.wav\nsecond\nbefore\nbefore\n",
        };
        assert_eq!(kept, expected);
    }
}

#[test]
fn places_where_nothing_can_be_written_are_refused_before_the_answer() {
    let folder = tempfile::tempdir().expect("a folder");
    let at = |name: &str| folder.path().join(name);
    symlink("round", at("round")).expect("a link");
    let long = "x".repeat(300);
    let places: [PathBuf; 5] = [
        folder.path().into(),
        at("no/such/folder.wav"),
        at("new/"),
        at("round"),
        at(&long),
    ];
    for place in places {
        let output = answer_to(&place);
        assert_refused(&output, "cannot write");
        assert!(output.stdout.is_empty(), "nothing was answered");
    }
    assert_eq!(names(folder.path()), ["round"]);
}
