"""The public layouts, in both file kinds."""

import io
import json
import wave
from pathlib import Path

import numpy as np
import pytest

from mini_omni_training import prepare, tokenizer
from mini_omni_training.config import Config
from mini_omni_training.items import Items
from mini_omni_training.readers import open_orca, snac_frames, voice_assistant

SPOKEN = {
    "split_name": "identity",
    "index": "7",
    "round": "0",
    "question": "Who are you?",
    "answer": "A small model.",
    "answer_snac": "# 1 2 3 4 5 6 7 # 8 9 10 11 12 13 14 # 1 2",
}


def _wav() -> bytes:
    file = io.BytesIO()
    with wave.open(file, "wb") as sound:
        sound.setnchannels(1)
        sound.setsampwidth(2)
        sound.setframerate(16_000)
        sound.writeframes(np.zeros(320, np.int16).tobytes())
    return file.getvalue()


def _write(path: Path, row: dict) -> Path:
    if path.suffix == ".jsonl":
        path.write_text(json.dumps(row) + "\n\n")
    else:
        pyarrow = pytest.importorskip("pyarrow")
        from pyarrow import parquet

        parquet.write_table(pyarrow.Table.from_pylist([row]), path)
    return path


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_voice_assistant_rows(tmp_path: Path, kind: str):
    (tmp_path / "asked.wav").write_bytes(_wav())
    audio = "asked.wav" if kind == "jsonl" else {"bytes": _wav(), "path": None}
    path = _write(tmp_path / f"rows.{kind}", SPOKEN | {"question_audio": audio})
    (row,) = voice_assistant(path)
    assert (row.question, row.answer) == ("Who are you?", "A small model.")
    assert row.pcm.shape == (320,)
    assert row.frames.tolist() == [[1, 2, 3, 4, 5, 6, 7], [8, 9, 10, 11, 12, 13, 14]]


@pytest.mark.parametrize("kind", ["parquet", "jsonl"])
def test_open_orca_rows(tmp_path: Path, kind: str):
    row = {"id": "1", "system_prompt": "Be short.", "question": "Why? ", "response": " So."}
    assert list(open_orca(_write(tmp_path / f"rows.{kind}", row))) == [("Be short.\nWhy?", "So.")]


def test_no_frames_is_fine():
    assert snac_frames("").shape == (0, 7)


def test_other_files_are_refused_with_a_sentence(tmp_path: Path):
    with pytest.raises(ValueError, match="parquet or .jsonl"):
        list(open_orca(tmp_path / "rows.csv"))


def test_imported_text_becomes_questions(tmp_path: Path):
    row = {"system_prompt": "", "question": "Why?", "response": "So."}
    prepare.import_text(tmp_path, _write(tmp_path / "rows.jsonl", row))
    tokenizer.train(tmp_path / "tokenizer.json", Config(), sentences=10)
    items = Items(tmp_path, Config(), tokenizer.load(tmp_path / "tokenizer.json"))
    assert ("Why?", "So.") in {(q.question, q.answer) for q in items.train}
