"""The whole list of `make train`, at toy scale: every step from nothing to an exported folder."""

import json
from pathlib import Path

import torch

from mini_omni_training import recipe
from mini_omni_training.cli import main

WIDTH = 384  # as Whisper tiny's


def random_whisper(path: Path) -> None:
    """An encoder of one random layer, in OpenAI's file."""
    shapes = {
        "conv1.weight": (WIDTH, 80, 3), "conv1.bias": (WIDTH,),
        "conv2.weight": (WIDTH, WIDTH, 3), "conv2.bias": (WIDTH,),
        "positional_embedding": (1500, WIDTH),
    }  # fmt: skip
    layer = "blocks.0"
    for part in ("query", "key", "value", "out"):
        shapes[f"{layer}.attn.{part}.weight"] = (WIDTH, WIDTH)
        if part != "key":
            shapes[f"{layer}.attn.{part}.bias"] = (WIDTH,)
    for part, (out, into) in {"0": (4 * WIDTH, WIDTH), "2": (WIDTH, 4 * WIDTH)}.items():
        shapes |= {f"{layer}.mlp.{part}.weight": (out, into), f"{layer}.mlp.{part}.bias": (out,)}
    for norm in (f"{layer}.attn_ln", f"{layer}.mlp_ln", "ln_post"):
        shapes |= {f"{norm}.weight": (WIDTH,), f"{norm}.bias": (WIDTH,)}
    torch.manual_seed(0)
    state = {f"encoder.{name}": torch.randn(shape) / 50 for name, shape in shapes.items()}
    dims = {
        "n_mels": 80, "n_vocab": 51865, "n_audio_ctx": 1500, "n_audio_state": WIDTH,
        "n_audio_head": 6, "n_audio_layer": 1, "n_text_ctx": 448, "n_text_state": WIDTH,
        "n_text_head": 6, "n_text_layer": 1,
    }  # fmt: skip
    path.parent.mkdir(parents=True)
    torch.save({"dims": dims, "model_state_dict": state}, path)


def test_the_list_of_commands_leads_to_a_model(tmp_path: Path):
    random_whisper(tmp_path / "whisper" / "tiny.pt")
    main(["--work", str(tmp_path), "train", "--toy"])
    manifest = json.loads((tmp_path / "model" / "manifest.json").read_text())
    assert manifest["decoder"]["n_layer"] == recipe.TOY.layers
    assert manifest["hearing"] == {"trim": True}
    normalizer = json.loads((tmp_path / "model" / "tokenizer.json").read_text())["normalizer"]
    assert {"type": "Lowercase"} in normalizer["normalizers"]
    for phase in (1, 2, 3):
        lines = (tmp_path / f"phase{phase}" / "log.jsonl").read_text().splitlines()
        assert json.loads(lines[-1])["step"] == 1


def test_the_full_list_is_the_toy_one_with_more_of_everything():
    full, toy = recipe.steps(recipe.FULL), recipe.steps(recipe.TOY)
    assert [command[:2] for command in full] == [command[:2] for command in toy]
