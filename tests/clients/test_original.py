"""The original Mini-Omni's clients, step by step: a wav goes in, raw samples come out.

They know no token, so this server asks for none.
"""

import base64

import numpy as np
import pytest
import requests
from conftest import PATIENCE, RATE, ROOT, Server, is_heard

CHUNKS = {"gradio": 4096, "streamlit": 5760}  # bytes
PAUSES = 0.1  # least share of 20 ms blocks 20 dB below the loudest; a tone and noise have none
LIKENESS = 0.99  # correlation of two sounds that are the same


@pytest.fixture(scope="module")
def original():
    server = Server("mini-omni-small", key=None)
    yield f"http://{server.address}"
    server.stop()


@pytest.fixture(scope="module")
def spoken() -> str:
    return base64.b64encode((ROOT / "tests/fixtures/audio/capital.wav").read_bytes()).decode()


@pytest.fixture(scope="module")
def same_answer(original, spoken):
    """The samples of the same answer, by another way."""
    audio = {"type": "input_audio", "input_audio": {"data": spoken, "format": "wav"}}
    asked = {
        "modalities": ["text", "audio"],
        "audio": {"format": "pcm16"},
        "messages": [{"role": "user", "content": [audio]}],
    }
    reply = requests.post(f"{original}/v1/chat/completions", json=asked, timeout=PATIENCE).json()
    sound = reply["choices"][0]["message"]["audio"]["data"]
    return np.frombuffer(base64.b64decode(sound), np.int16)


def has_pauses(samples) -> bool:
    block = RATE // 50
    blocks = samples[: len(samples) // block * block].reshape(-1, block).astype(np.float64)
    levels = np.sqrt((blocks**2).mean(1))
    return (levels < levels.max() / 10).mean() > PAUSES


@pytest.mark.parametrize("chunk_size", CHUNKS.values(), ids=CHUNKS)
def test_a_spoken_question_is_answered(original, spoken, same_answer, chunk_size):
    asked = {"audio": spoken, "stream_stride": 4, "max_tokens": 2048}
    with requests.post(f"{original}/chat", json=asked, stream=True, timeout=PATIENCE) as response:
        assert response.status_code == 200
        chunks = [chunk for chunk in response.iter_content(chunk_size) if chunk]
    assert all(len(chunk) <= chunk_size for chunk in chunks) and len(chunks) > 1
    samples = np.concatenate([np.frombuffer(chunk, np.int16) for chunk in chunks])
    assert is_heard(samples.tobytes()) and has_pauses(samples)
    assert len(samples) == len(same_answer)
    assert np.corrcoef(samples, same_answer)[0, 1] > LIKENESS
