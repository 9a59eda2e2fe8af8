"""The command as a person runs it: a model, or a sentence, exit code 2 and nothing half-written."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from toy import Files, Toy

from mini_omni_export import __version__, cli, model
from mini_omni_export.cli import main
from mini_omni_export.stop import SIGNALS


@pytest.fixture(scope="module")
def toy(tmp_path_factory):
    """Checkpoints that export."""
    return Toy().write(tmp_path_factory.mktemp("toy"))


@pytest.fixture
def out(tmp_path):
    """Where the model goes; its parent holds nothing else."""
    return tmp_path / "out" / "model"


@pytest.fixture
def refuse(capsys, out):
    """Runs the command, which must refuse and leave nothing; returns what it said."""

    def run(*arguments) -> str:
        before = snapshot(out.parent)
        assert main([*map(str, arguments), "--out", str(out)]) == 2
        assert snapshot(out.parent) == before
        said = capsys.readouterr().err.splitlines()[-1]
        assert said.startswith("error: ")
        return said

    return run


def snapshot(folder) -> dict:
    if not folder.exists():
        return {}
    return {p: p.is_file() and p.read_bytes() for p in folder.rglob("*")}


def test_a_model_is_written_and_nothing_beside_it(toy, out, capsys):
    assert main([*toy.arguments, "--out", str(out)]) == 0
    assert f"{out} is ready" in capsys.readouterr().out
    assert [p.name for p in out.parent.iterdir()] == [out.name]
    names = {p.name for p in out.iterdir()}
    assert {"manifest.json", "tokenizer.json", "decoder.onnx", "decoder.onnx.data"} <= names


def test_it_runs_as_a_module(out):
    command = [sys.executable, "-m", "mini_omni_export", "--random", "tiny", "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert (out / "manifest.json").is_file()


@pytest.mark.parametrize("name", [
    "mini-omni/lit_model.pth", "mini-omni/model_config.yaml", "mini-omni/tokenizer.json",
    "small.pt", "snac/config.json", "snac/pytorch_model.bin",
])
def test_a_missing_file_is_named(tmp_path, refuse, name):
    files = Toy().write(tmp_path / "files")
    (tmp_path / "files" / name).unlink()
    said = refuse(*files.arguments)
    assert name in said and "is missing" in said


@pytest.mark.parametrize(("name", "text"), [
    ("mini-omni/model_config.yaml", "n_layer: [2"), ("mini-omni/model_config.yaml", "- 1\n"),
    ("mini-omni/tokenizer.json", "{"), ("snac/config.json", "not json"), ("snac/config.json", "[]"),
    ("small.pt", "no zip"), ("snac/pytorch_model.bin", ""), ("mini-omni/lit_model.pth", "PK"),
])
def test_a_damaged_file_is_named(tmp_path, refuse, name, text):
    files = Toy().write(tmp_path / "files")
    (tmp_path / "files" / name).write_text(text)
    assert name in refuse(*files.arguments)


def test_an_output_that_exists_needs_force(toy, refuse, out):
    out.mkdir(parents=True)
    said = refuse(*toy.arguments)
    assert "already there" in said and "--force" in said


def test_force_replaces_a_model_and_nothing_else(toy, refuse, out):
    out.mkdir(parents=True)
    (out / "thesis.txt").write_text("years of work")
    assert "no model folder" in refuse(*toy.arguments, "--force")
    (out / "manifest.json").write_text("{}")
    assert main([*toy.arguments, "--out", str(out), "--force"]) == 0
    assert not (out / "thesis.txt").exists()
    assert (out / "decoder.onnx").is_file()


def test_a_file_in_the_way_is_not_replaced(toy, refuse, out):
    out.parent.mkdir()
    out.write_text("a file")
    assert "already there" in refuse(*toy.arguments)
    assert "no model folder" in refuse(*toy.arguments, "--force")


def test_a_parent_that_is_a_file_is_an_error(toy, refuse, out):
    out.parent.write_text("a file")
    assert "cannot write the model" in refuse(*toy.arguments)


def test_codec_and_language_model_must_fit(tmp_path, refuse):
    files = Toy(codec={"codebook_size": 100}).write(tmp_path / "files")
    assert "128 audio ids, the codec has 100" in refuse(*files.arguments)


def test_adapter_and_whisper_must_fit(tmp_path, refuse):
    files = Toy(config={"whisper_adapter_dim": 48}).write(tmp_path / "files")
    assert "adapter takes 48 features, this Whisper gives 32" in refuse(*files.arguments)


def test_a_codec_with_attention_is_refused(tmp_path, refuse):
    files = Toy(codec={"attn_window_size": 32}).write(tmp_path / "files")
    assert "attn_window_size 32 is not supported" in refuse(*files.arguments)


def test_sizes_that_no_model_has_are_refused(tmp_path, refuse):
    for name, value in [("none", 0), ("negative", -4), ("endless", 10**12)]:
        files = Toy(config={"n_head": value}).write(tmp_path / name)
        assert f"n_head {value} is not a positive number" in refuse(*files.arguments)


def test_another_number_of_codes_is_refused(tmp_path, refuse):
    files = Toy(codec={"vq_strides": [8, 4, 2, 1]}).write(tmp_path / "files")
    assert "do not make 7 codes a frame" in refuse(*files.arguments)


def test_checkpoints_in_the_wrong_places_are_refused(toy, refuse):
    swapped = ["--checkpoint", toy.checkpoint, "--whisper", toy.checkpoint / "lit_model.pth"]
    said = refuse(*swapped, "--snac", toy.snac)
    assert "no OpenAI Whisper file" in said


def test_one_source_must_be_named(toy, refuse):
    assert "--published" in refuse()
    assert "--whisper" in refuse("--checkpoint", toy.checkpoint)
    assert "stands in place" in refuse(*toy.arguments, "--published")
    assert "leave the checkpoints away" in refuse(*toy.arguments, "--random", "tiny")
    assert "leave the checkpoints away" in refuse("--published", "--random", "tiny")


def test_what_fails_while_writing_leaves_nothing(toy, refuse, monkeypatch):
    def full_disk(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(model, "build_codec_encoder", full_disk)
    assert "No space left on device" in refuse(*toy.arguments)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_a_signal_leaves_nothing_and_the_old_model_in_place(toy, out, monkeypatch, capsys, name):
    assert main([*toy.arguments, "--out", str(out)]) == 0
    before, number = snapshot(out.parent), getattr(signal, name)
    handlers = [signal.getsignal(number) for number in SIGNALS]

    def interrupted(*_):
        signal.raise_signal(number)

    monkeypatch.setattr(model, "build_codec_encoder", interrupted)
    assert main([*toy.arguments, "--out", str(out), "--force"]) == 128 + number
    assert f"stopped by {name}; nothing is left half-written" in capsys.readouterr().err
    assert snapshot(out.parent) == before
    assert [signal.getsignal(number) for number in SIGNALS] == handlers


def test_a_signal_between_the_two_renames_brings_the_old_model_back(toy, out, monkeypatch):
    assert main([*toy.arguments, "--out", str(out)]) == 0
    before, rename = snapshot(out.parent), Path.rename

    def interrupted(path, target):
        rename(path, target)
        if path == out:
            signal.raise_signal(signal.SIGTERM)

    monkeypatch.setattr(Path, "rename", interrupted)
    assert main([*toy.arguments, "--out", str(out), "--force"]) == 128 + signal.SIGTERM
    assert snapshot(out.parent) == before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("precision", ["fp32", "int8"])
def test_a_killed_export_leaves_nothing(tmp_path, number, precision):
    """The full size takes many seconds; it is stopped as soon as it has begun to write."""
    out = tmp_path / "new" / "model"
    command = [sys.executable, "-m", "mini_omni_export", "--random", "full",
               "--precision", precision, "--out", str(out)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as export:
        while not list(tmp_path.glob("new/.model.*/encoder.onnx.data")):
            assert export.poll() is None, export.stderr.read()
            time.sleep(0.01)
        time.sleep(0.2)
        export.send_signal(number)
        export.send_signal(number)  # a second one does not cut the clearing short
        said = export.stderr.read()
    assert export.returncode == 128 + number
    assert said == f"stopped by {number.name}; nothing is left half-written\n"
    assert list(tmp_path.iterdir()) == []


def test_what_nohup_ignores_stays_ignored(out):
    code = ("import signal, sys; from mini_omni_export import cli, model;"
            "signal.signal(signal.SIGHUP, signal.SIG_IGN);"
            "build = model.build_codec_encoder;"
            "hang_up = lambda: signal.raise_signal(signal.SIGHUP);"
            "model.build_codec_encoder = lambda *a: (hang_up(), build(*a));"
            f"sys.exit(cli.main(['--random', 'tiny', '--out', {str(out)!r}]))")
    subprocess.run([sys.executable, "-c", code], check=True)
    assert (out / "manifest.json").is_file()


def linked(files, folder, link):
    """The same checkpoints in a folder of links, as the hub's cache, Nix and DVC keep them."""
    for path in [*files.checkpoint.iterdir(), files.whisper, *files.snac.iterdir()]:
        place = folder / path.relative_to(files.whisper.parent)
        place.parent.mkdir(parents=True, exist_ok=True)
        blob = folder / "blobs" / str(len(list(folder.rglob("*"))))
        blob.parent.mkdir(exist_ok=True)
        shutil.copy(path, blob)
        link(place, blob)
    return Files(folder / "mini-omni", folder / "small.pt", folder / "snac")


@pytest.mark.parametrize("link", [
    lambda place, blob: place.symlink_to(blob),
    lambda place, blob: place.symlink_to(os.path.relpath(blob, place.parent)),
    lambda place, blob: place.hardlink_to(blob),
], ids=["absolute", "relative", "hard"])
def test_files_that_are_links_are_read(toy, tmp_path, out, link):
    files = linked(toy, tmp_path / "files", link)
    assert main([*files.arguments, "--out", str(out)]) == 0
    plain = tmp_path / "plain"
    assert main([*toy.arguments, "--out", str(plain)]) == 0
    assert {p.name: p.read_bytes() for p in out.iterdir()} == {
        p.name: p.read_bytes() for p in plain.iterdir()}


def test_an_output_that_is_a_link_stays_one(toy, tmp_path, out):
    out.parent.mkdir()
    out.symlink_to(tmp_path / "elsewhere" / "model")
    assert main([*toy.arguments, "--out", str(out)]) == 0
    (out / "old").write_text("of the model that is replaced")
    assert main([*toy.arguments, "--out", str(out), "--force"]) == 0
    assert out.is_symlink() and not (out / "old").exists()
    assert [p.name for p in (tmp_path / "elsewhere").iterdir()] == ["model"]


def test_progress_is_silent_where_nobody_watches(toy, out):
    command = [sys.executable, "-m", "mini_omni_export", *toy.arguments, "--out", str(out)]
    done = subprocess.run(command, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [f"{out} is ready: mini-omni inspect {out}"]


@pytest.mark.parametrize("given", [
    ["--seed", "2", "--checkpoint", "x", "--whisper", "x", "--snac", "x"],
    ["--random", "tiny", "--name", "mine"], ["--random", "tiny", "--weights", "random"],
    ["--published", "--weights", "random"], ["--random", "tiny", "--block-size", "32"],
    ["--random", "tiny", "--precision", "int4", "--decoder-precision", "fp16",
     "--block-size", "32"],
])
def test_an_option_without_effect_is_refused(refuse, given):
    assert "has no effect here" in refuse(*given)


def test_version_and_help_say_what_one_asks_for(capsys):
    for option in ("--version", "--help"):
        with pytest.raises(SystemExit) as stopped:
            main([option])
        assert stopped.value.code == 0
    said = capsys.readouterr().out
    assert said.startswith(f"mini-omni-export {__version__}\n")
    assert "examples:\n  mini-omni-export --published --precision int4 --out" in said
    for default in ("fp32", "fused", "128", "mini-omni", "trained", "1"):
        assert f"(default: {default})" in " ".join(said.split())


def test_a_wrong_option_is_explained(out, capsys):
    for wrong in (["--profile", "fast"], ["--precision", "int3"], ["--random", "huge"]):
        with pytest.raises(SystemExit) as stopped:
            cli.main([*wrong, "--out", str(out)])
        assert stopped.value.code == 2
        assert wrong[1] in capsys.readouterr().err
