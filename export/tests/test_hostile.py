"""Checkpoints made to do harm: each is refused in a sentence, in bounded time and memory."""

from __future__ import annotations

import struct
import subprocess
import sys
import time
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch_zip
from conftest import ROOT
from torch_zip import Call, Global, Persistent, Tensor

from mini_omni_export.checkpoint import Tensors, load
from mini_omni_export.errors import ExportError

NUMBERS = np.arange(24).reshape(2, 3, 4)
SLOWEST, MOST_MEMORY = 5, 100 << 20  # seconds and bytes that any file may take


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.pth"


def refused(path) -> str:
    with pytest.raises(ExportError) as error:
        load(path)
    assert str(path) in str(error.value)
    return str(error.value)


def overlaid(size, stride, offset=0):
    """A tensor over another tensor, which is no storage."""
    inner = Tensor(np.zeros(4, "f4"), (1 << 20,), (0,))
    return Call(REBUILD, (inner, offset, size, stride, False, {}))


REBUILD = Global("torch._utils", "_rebuild_tensor_v2")


@pytest.mark.parametrize("value", [
    overlaid((1 << 22,), (1,)), overlaid((4,), (1,)),
    Tensor(np.zeros(8, "f4"), (1 << 20,), (0,)),  # eight numbers spread over 4 MB
    Tensor(np.zeros(8, "f4"), (1 << 62, 4), (0, 1)),
    Tensor(np.zeros(8, "f4"), (0, 1 << 62), (1, 1)),
    Tensor(np.zeros(8, "f4"), (2,), (1 << 63,)), Tensor(np.zeros(8, "f4"), (2,) * 40, (0,) * 40),
    Tensor(np.zeros(8, "f4"), (1,), (1,), offset=1 << 65), Tensor(np.zeros(8, "f4"), (2, 2), (1,)),
    Tensor(np.zeros(8, "f4"), (2,), (1,), count=1 << 62),
    Call(REBUILD, (np.zeros(8, "f4"), 0, (4,), (1,), False, {})), Call(REBUILD, ()),
    Call(REBUILD, (3, 0, (4,), (1,), False, {})),
    Call(Global("torch._utils", "_rebuild_parameter"), ("text", False, {})),
    Call(Global("torch", "FloatStorage"), (1 << 40,)), Call(Global("torch", "ComplexStorage"), ()),
    *[Persistent(("storage", Global("torch", "FloatStorage"), key, "cpu", 1))
      for key in ("../version", "0/../../version", "-1", "٣", "", 0, None, ("0",), "9" * 5000)],
    *[Persistent(pid) for pid in ("0", (), ("storage",), ("storage", 1, "0", "cpu", 1), None)],
    {("a", "tuple"): 1}, {2.5: 1}, {None: 1},
])
def test_a_pickle_that_lays_memory_out_otherwise_is_refused(path, value):
    torch_zip.save(path, {"other": np.zeros(8, "f4"), "w": value})
    within_bounds(lambda: refused(path))


def within_bounds(work):
    """Runs `work`, which may neither take long nor much memory."""
    begun = time.monotonic()
    tracemalloc.start()
    try:
        work()
        assert tracemalloc.get_traced_memory()[1] < MOST_MEMORY
    finally:
        tracemalloc.stop()
    assert time.monotonic() - begun < SLOWEST


DEEP = b"(" + b"]" * 300 + b"\x85" * 10  # closed by nobody


@pytest.mark.parametrize("code", [
    b"}r\x00\x00\x00\x10.", b"}r\xff\xff\xff\xff.", b"}q\x05.",  # places of the memo far away
    b"X\xff\xff\xff\xff.", b"\x8d" + b"\xff" * 8 + b".", b"\x95" + b"\xff" * 8 + b"\x8e",
    b"\x8b\xff\xff\xff\x7f.", b"B\xff\xff\xff\xff.", b"\x96" + b"\xff" * 8 + b".",
    b"]" * (8 << 20) + b".", b"(" * (6 << 20) + b".", b"]" * 300_000 + b".", DEEP + b".",
    b"K\x01" + b"2\x86" * 100 + b".",  # a tuple of 2^100 leaves
    b")q\x00" + b"h\x00h\x00\x86q\x00" * 100 + b".", b"h\x00.", b"j\xff\xff\xff\xff.",
    b"}" + b")q\x00" + b"h\x00h\x00\x86q\x00" * 60 + b"K\x01s.",  # and as a key, to be hashed
    b".", b"", b"u.", b"s.", b"R.", b"Q.", b"b.", b"a.", b"e.", b"t.", b"0.", b"\x93.", b"cos.",
    b"}X\x01\x00\x00\x00wK\x01X\x01\x00\x00\x00wK\x02ss.", b"}(K\x01u.", b"K\x01K\x02.", b"(K\x01.",
    b"}(X\x01\x00\x00\x00wK\x01X\x01\x00\x00\x00wK\x02u.", b"X\x01\x00\x00\x00\xff.", b"\x80\x09}.",
    b"I1\n.", b"L1L\n.", b"F1.5\n.", b"S'x'\n.", b"Vx\n.", b"P0\n.", b"(i__main__\nx\n.",
    b"\x82\x01.", b"\x97.", b"\x98.", b"\x90.", b"\x8f.", b"\x81.", b"\x92.",
    b"c" + b"a" * 10**6 + b"\nb\n.",
])
def test_a_hostile_program_is_refused_in_bounded_time_and_memory(path, code):
    torch_zip.save_pickle(path, b"\x80\x02" + code)

    def read():
        with pytest.raises(ExportError) as error:
            Tensors(load(path), path)("w")
        assert len(str(error.value)) < 500 and "\n" not in str(error.value)

    within_bounds(read)


def test_a_long_number_and_a_list_that_holds_itself_are_shown_shortly(path):
    for code in (b"(\x8a\xff" + b"\x7f" * 255, b"(]q\x00h\x00a"):
        torch_zip.save_pickle(path, b"\x80\x02" + code + b"K\x01K\x02K\x03K\x04tQ.")
        assert len(refused(path)) < 300


def rezipped(path, edit):
    """The file's bytes after `edit`, which gets them and where its directory begins."""
    data = bytearray(path.read_bytes())
    edit(data, data.index(b"PK\x01\x02"))
    path.write_bytes(bytes(data))


def put(form, at, value):
    """Writes a number at `at` behind the directory's beginning, or before the file's end."""
    def edit(data, directory):
        struct.pack_into(form, data, directory + at if at >= 0 else len(data) + at, value)
    return edit


@pytest.mark.parametrize("edit", [
    put("<H", 8, 1), put("<H", 10, 8), put("<H", 10, 99),  # encrypted, deflated, unknown
    put("<L", 20, 7), put("<L", 24, 1 << 30), put("<L", 42, 1 << 30), put("<L", 42, 1),
    put("<L", 42, 0xFFFFFFFF), put("<L", 24, 0xFFFFFFFF), put("<H", 28, 60000), put("<H", 30, 9),
    put("<H", 34, 1), put("<H", -12, 9), put("<H", -12, 0xFFFF), put("<L", -10, 0xFFFFFFFF),
    put("<L", -6, 0xFFFFFFFF), put("<L", -6, 3), put("<H", -2, 3), put("<H", -18, 1),
    lambda data, at: data.extend(b"behind the end"),
    lambda data, at: data.__setitem__(slice(0, 0), b"#!/bin/sh\n"),
])
def test_a_zip_whose_directory_lies_is_refused(path, edit):
    torch_zip.save(path, {"w": NUMBERS.astype("f4"), "v": NUMBERS.astype("f4")})
    rezipped(path, edit)
    refused(path)


def entries_twice(data, directory):
    """The second storage's entry is made the first one's."""
    first, second = (data.index(f"archive/data/{i}".encode(), directory) - 46 for i in (0, 1))
    data[second + 42 : second + 46] = data[first + 42 : first + 46]


def test_two_entries_that_share_bytes_or_a_name_are_refused(path):
    torch_zip.save(path, {"w": NUMBERS.astype("f4"), "v": NUMBERS.astype("f4")})
    rezipped(path, entries_twice)
    refused(path)
    with pytest.warns(UserWarning), zipfile.ZipFile(path, "w") as archive:
        for code in (b"}.", b"}."):
            archive.writestr("archive/data.pkl", code)
    assert "two entries" in refused(path)


def test_a_compressed_checkpoint_is_refused_before_it_is_unpacked(path):
    torch_zip.save(path, {"w": NUMBERS.astype("f4")}, zipfile.ZIP_DEFLATED)
    assert "compressed" in refused(path)
    torch_zip.save_pickle(path, b"\x80\x02" + b"]" * (8 << 20) + b".",
                          compression=zipfile.ZIP_DEFLATED)
    within_bounds(lambda: refused(path))


@pytest.mark.parametrize(("data", "kind"), [
    (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.", "torch before 1.6"),
    (struct.pack("<Q", 1 << 60) + b'{"w":{}}', "safetensors"), (b"\x1f\x8b" + bytes(50), "gzip"),
    (b"version https://git-lfs.github.com/spec/v1\n", "Git LFS"),
    (bytes(257) + b"ustar" + bytes(300), "tar archive"), (b"GGUF" + bytes(90), "GGUF"),
])
def test_a_file_of_another_format_is_told_by_its_name(path, data, kind):
    path.write_bytes(data)
    assert kind in refused(path)


@pytest.mark.parametrize("seed", [1, 2])
def test_damage_at_random_does_no_harm(tmp_path, seed):
    """A short run of what CI runs for a minute."""
    script = ROOT / "export" / "tests" / "fuzz_checkpoint.py"
    command = [sys.executable, script, "--seconds", "4", "--seed", str(seed), "--keep", tmp_path]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
