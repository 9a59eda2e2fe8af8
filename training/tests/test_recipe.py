"""The whole list of `make train`, at toy scale: every step from nothing to an exported folder."""

import json
from pathlib import Path

from toys import random_whisper

from mini_omni_training import recipe
from mini_omni_training.cli import main


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
