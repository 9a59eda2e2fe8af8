//! Files that are no plain files.

use std::os::unix::fs::symlink;
use std::process::Command;

use super::*;

/// The model's files, each given a place by `place` and linked to from `folder`.
fn linked(folder: &Path, place: impl Fn(usize, &str) -> PathBuf) {
    fs::create_dir_all(folder).expect("a folder");
    for (i, entry) in fs::read_dir(model()).expect("a model").enumerate() {
        let entry = entry.expect("an entry");
        let name = entry.file_name().into_string().expect("a name");
        let there = place(i, &name);
        fs::create_dir_all(there.parent().expect("a folder")).expect("a folder");
        fs::copy(entry.path(), &there).expect("a copy");
        symlink(&there, folder.join(&name)).expect("a link");
    }
}

fn assert_answers(folder: &Path) {
    let expected = ask(&model()).stdout;
    let output = ask(folder);
    assert!(output.status.success(), "{}", stderr(&output));
    assert!(output.stdout == expected, "the model's own answer");
    let verified = mini_omni(&["inspect", text(folder), "--verify"]);
    assert!(verified.status.success(), "{}", stderr(&verified));
}

#[test]
fn files_that_are_links_to_elsewhere_open() {
    let at = tempfile::tempdir().expect("a folder");
    let top = fs::canonicalize(at.path()).expect("a folder");
    // A hub's cache: all in one folder, under other names.
    let hub = top.join("hub/snapshots/abc");
    linked(&hub, |i, _| top.join(format!("hub/blobs/{i:040x}")));
    assert_answers(&hub);
    // DVC, Nix: each file in a folder of its own, far away.
    let dvc = top.join("dvc");
    linked(&dvc, |i, _| top.join(format!("cache/{i:02}/file")));
    assert_answers(&dvc);
    // The data of one graph alone.
    let one = changed(|_| ());
    let data = one.path().join("decoder.onnx.data");
    fs::rename(&data, top.join("weights")).expect("moved");
    symlink(top.join("weights"), &data).expect("a link");
    assert_answers(one.path());
    // A link to the folder, and a link to that.
    symlink(&hub, top.join("latest")).expect("a link");
    symlink(top.join("latest"), top.join("current")).expect("a link");
    assert_answers(&top.join("current"));
}

#[test]
fn a_mounted_config_map_opens() {
    let at = tempfile::tempdir().expect("a folder");
    copy_model(&model(), &at.path().join("..2026_11_27"));
    symlink("..2026_11_27", at.path().join("..data")).expect("a link");
    for entry in fs::read_dir(model()).expect("a model") {
        let name = entry.expect("an entry").file_name();
        symlink(Path::new("..data").join(&name), at.path().join(&name)).expect("a link");
    }
    assert_answers(at.path());
}

#[test]
fn pipes_devices_folders_and_dead_links_are_refused_at_once() {
    for name in [
        "manifest.json",
        "tokenizer.json",
        "decoder.onnx",
        "decoder.onnx.data",
    ] {
        let folder = changed(|_| ());
        let path = folder.path().join(name);
        fs::remove_file(&path).expect("removed");
        let made = Command::new("mkfifo").arg(&path).status().expect("mkfifo");
        assert!(made.success());
        assert_refused(&ask(folder.path()), "no regular file");
        fs::remove_file(&path).expect("removed");
        symlink("/dev/zero", &path).expect("a link");
        assert_refused(&ask(folder.path()), "no regular file");
        fs::remove_file(&path).expect("removed");
        symlink("nowhere", &path).expect("a link");
        assert_refused(&ask(folder.path()), "is missing");
        fs::remove_file(&path).expect("removed");
        fs::create_dir(&path).expect("a folder");
        assert_refused(&ask(folder.path()), "no regular file");
    }
}
