"""Checkpoints are data: what is honest is read as it is, all else is refused in a sentence."""

from __future__ import annotations

import os
import pickle
import random
import struct
import zipfile

import ml_dtypes
import numpy as np
import pytest
import torch_zip
from torch_zip import Call, Global, Persistent, Tensor
from toy import Toy

from mini_omni_export.checkpoint import Tensors, load
from mini_omni_export.errors import ExportError
from mini_omni_export.model import read_source

NUMBERS = np.arange(24).reshape(2, 3, 4)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "model.pth"


def refused(path) -> str:
    with pytest.raises(ExportError) as error:
        load(path)
    assert str(path) in str(error.value) or "in the checkpoint" in str(error.value)
    return str(error.value)


@pytest.mark.parametrize("dtype", ["f4", "f8", "f2", ml_dtypes.bfloat16, "i8", "i4", "?"])
def test_tensors_of_every_type_are_read(path, dtype):
    want = NUMBERS.astype(dtype)
    state = load(torch_zip.save(path, {"w": want}))
    assert state["w"].dtype == want.dtype
    assert (state["w"] == want).all()
    given = Tensors(state, path)("w", 2, 3, 4)
    assert given.dtype == np.float32
    assert (given == want.astype(np.float32)).all()


def test_views_and_parameters_are_read(path):
    flat = NUMBERS.ravel().astype("f4")
    parameter = Call(Global("torch._utils", "_rebuild_parameter"), (flat, False, None))
    state = load(torch_zip.save(path, {
        "transposed": Tensor(flat, (4, 6), (1, 4)), "tail": Tensor(flat, (4,), (1,), offset=20),
        "scalar": Tensor(flat, (), (), offset=3), "empty": Tensor(flat, (0, 4), (4, 1)),
        "parameter": parameter, "dims": {"n_mels": 80, "names": ["a", (1, 2.5, None, True)]},
    }))
    assert (state["transposed"] == flat.reshape(6, 4).T).all()
    assert state["tail"].tolist() == [20, 21, 22, 23]
    assert state["scalar"] == 3
    assert state["empty"].shape == (0, 4)
    assert (state["parameter"] == flat).all()
    assert state["dims"] == {"n_mels": 80, "names": ["a", (1, 2.5, None, True)]}


def test_tensors_are_views_of_the_file(path):
    state = load(torch_zip.save(path, {"w": NUMBERS.astype("f4")}))
    assert not state["w"].flags.owndata
    assert not state["w"].flags.writeable


@pytest.mark.parametrize(("module", "name"), [
    ("os", "system"), ("posix", "system"), ("builtins", "eval"), ("builtins", "getattr"),
    ("subprocess", "Popen"), ("torch", "load"), ("numpy", "load"), ("torch.storage", "_load"),
    ("collections", "OrderedDict.fromkeys"), ("torch", "FloatStorage.__init__"),
])
def test_a_pickle_that_names_anything_else_is_refused_by_that_name(path, tmp_path, module, name):
    mark = tmp_path / "was-run"
    call = Call(Global(module, name), (f"touch {mark}",))
    torch_zip.save(path, {"w": NUMBERS.astype("f4"), "deep": [{"er": call}]})
    assert f"asks for {module}.{name}" in refused(path)
    assert not mark.exists()


@pytest.mark.parametrize("protocol", range(1, 6))
def test_a_real_pickle_of_os_system_is_refused(path, tmp_path, protocol):
    mark = tmp_path / "was-run"

    class Hostile:
        def __reduce__(self):
            return os.system, (f"touch {mark}",)

    torch_zip.save_pickle(path, pickle.dumps({"w": Hostile()}, protocol))
    assert f"asks for {os.system.__module__}.system" in refused(path)
    assert not mark.exists()


def test_a_reference_to_anything_but_a_storage_is_refused(path):
    kind = Global("torch", "FloatStorage")
    torch_zip.save(path, {"w": Persistent(("module", kind, "0", "cpu", 1))})
    assert "'module'" in refused(path)
    torch_zip.save(path, {"w": Persistent(("storage", "FloatStorage", "0", "cpu", 1))})
    refused(path)


@pytest.mark.parametrize(("tensor", "reason"), [
    (Tensor(np.zeros(8, "f4"), (3, 3), (3, 1)), "larger than its storage"),
    (Tensor(np.zeros(8, "f4"), (4,), (1,), offset=5), "larger than its storage"),
    (Tensor(np.zeros(8, "f4"), (4,), (-1,), offset=5), "negative"),
    (Tensor(np.zeros(8, "f4"), (-4,), (1,)), "negative"),
    (Tensor(np.zeros(8, "f4"), (4,), (1,), offset=-2), "negative"),
    (Tensor(np.zeros(8, "f4"), (9,), (1,), count=9), "incomplete"),
    (Tensor(np.zeros(8, "f4"), (2,), (1,), count=-4), "incomplete"),
])
def test_a_tensor_that_reaches_outside_its_storage_is_refused(path, tensor, reason):
    assert reason in refused(torch_zip.save(path, {"w": tensor}))


def test_a_zip64_directory_is_read(path):
    """As torch writes it once a file is large."""
    torch_zip.save(path, {"w": NUMBERS.astype("f4")})
    data = path.read_bytes()
    end = len(data) - 22
    count, size, at = struct.unpack("<HLL", data[end + 10 : end + 20])
    wide = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, count, count, size, at)
    locator = struct.pack("<4sLQL", b"PK\x06\x07", 0, end, 1)
    full = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 0xFFFF, 0xFFFF, 0xFFFFFFFF, 0xFFFFFFFF, 0)
    path.write_bytes(data[:end] + wide + locator + full)
    assert (load(path)["w"] == NUMBERS).all()


def test_a_state_dict_with_torchs_version_numbers_is_read(path):
    """Module.state_dict() is an OrderedDict that carries them as an attribute."""
    ordered = b"ccollections\nOrderedDict\n)R"
    state = b"}X\x09\x00\x00\x00_metadata" + ordered + b"s"
    code = b"\x80\x02" + ordered + b"X\x01\x00\x00\x00wK\x03s" + state + b"b."
    torch_zip.save_pickle(path, code)
    assert load(path) == {"w": 3}


def test_a_checkpoint_of_the_other_byte_order_is_refused(path):
    torch_zip.save(path, {"w": NUMBERS.astype("f4")})
    for order, fits in ((b"little", True), (b"big", False), (b"x" * 100, False)):
        torch_zip.save(path, {"w": NUMBERS.astype("f4")})
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("archive/byteorder", order)
        assert (load(path) if fits else refused(path))


def test_a_missing_file_is_named(path):
    assert "is missing" in refused(path)


@pytest.mark.parametrize("data", [b"", b"not a zip", b"\x80\x02}q\x00.", bytes(4000)])
def test_what_is_no_zip_is_refused(path, data):
    path.write_bytes(data)
    assert "no checkpoint in torch's zip format" in refused(path)


def test_a_zip_of_something_else_is_refused(path):
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "hello")
    assert "no data.pkl" in refused(path)


@pytest.mark.parametrize("kept", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_refused(path, kept):
    torch_zip.save(path, {"w": NUMBERS.astype("f4"), "v": np.zeros(1000, "f4")})
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * kept)])
    assert "zip format" in refused(path)


def test_a_storage_that_is_not_there_is_named(path):
    kind = Global("torch", "FloatStorage")
    torch_zip.save(path, {"w": Persistent(("storage", kind, "7", "cpu", 1))})
    assert "storage 7 is missing" in refused(path)


def test_a_damaged_pickle_is_refused_whatever_the_damage(path):
    """Random bytes in random places of the pickle: it is read or refused, nothing else."""
    torch_zip.save(path, {f"layer.{i}": NUMBERS.astype("f4") for i in range(4)})
    with zipfile.ZipFile(path) as archive:
        code = archive.read("archive/data.pkl")
        storages = [archive.read(n) for n in archive.namelist() if "/data/" in n]
    rng, refusals = random.Random(1), 0
    for _ in range(300):
        damaged = bytearray(code)
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(len(code))] = rng.randrange(256)
        torch_zip.save_pickle(path, bytes(damaged), storages)
        try:
            load(path)
        except ExportError:
            refusals += 1
    assert refusals > 200


def test_flipped_bits_in_the_zip_are_found(path):
    torch_zip.save(path, {"w": NUMBERS.astype("f4")})
    data = bytearray(path.read_bytes())
    data[60] ^= 0xFF  # inside data.pkl
    path.write_bytes(data)
    refused(path)


def test_what_holds_no_tensors_is_refused(path):
    for value in ([1, 2], {}, "text"):
        with pytest.raises(ExportError, match="no table of tensors"):
            Tensors(load(torch_zip.save(path, value)), path)
    with pytest.raises(ExportError, match="w is not a tensor"):
        Tensors({"w": 3}, path)("w")


def without(name: str):
    return lambda state: {k: v for k, v in state.items() if k != name}


def reshaped(name: str):
    return lambda state: state | {name: state[name][:-1]}


@pytest.mark.parametrize(("part", "name"), [
    ("lm", "transformer.h.1.mlp.proj.weight"), ("lm", "whisper_adapter.fc_1.weight"),
    ("lm", "lm_head.weight"), ("lm", "transformer.h.0.attn.attn.bias"),
    ("whisper", "encoder.blocks.0.attn.query.weight"), ("whisper", "encoder.ln_post.bias"),
    ("snac", "decoder.model.2.block.1.weight_v"),
    ("snac", "quantizer.quantizers.1.codebook.weight"),
])
def test_a_tensor_that_is_missing_or_of_another_shape_is_named(tmp_path, part, name):
    for edit, reason in [(without(name), "no tensor"), (reshaped(name), "the config says")]:
        files = Toy(**{f"edit_{part}": edit}).write(tmp_path / reason)
        with pytest.raises(ExportError, match=reason) as error:
            read_source(files.checkpoint, files.whisper, files.snac, "toy", "random")
        assert name in str(error.value)


def test_bfloat16_and_half_checkpoints_are_read(tmp_path):
    for dtype in (ml_dtypes.bfloat16, np.float16):
        cast = Toy(edit_lm=lambda s, t=dtype: {k: v.astype(t) for k, v in s.items()})
        files = cast.write(tmp_path / np.dtype(dtype).name)
        source = read_source(files.checkpoint, files.whisper, files.snac, "toy", "random")
        wte = source.lm("transformer.wte.weight")
        assert wte.dtype == np.float32
        assert (wte == wte.astype(dtype).astype(np.float32)).all()
