"""A server of the bundled model, one for all clients, and a spoken question."""

import numpy as np
import pytest
from serving import KEY, RATE, ROOT, Server, pcm16

__all__ = ["KEY", "RATE", "ROOT", "Server"]  # for the tests, beside what is here

ANSWER = "The capital of France is Paris."
PATIENCE = 60  # seconds until a test fails; nothing is measured by it


@pytest.fixture(scope="session")
def server():
    """The bundled model, which answers sensibly."""
    server = Server("mini-omni-small")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def talkative():
    """The random model, which talks about "ee" for a minute."""
    server = Server("tiny-random")
    yield server
    server.stop()


@pytest.fixture(scope="session")
def question() -> bytes:
    """What is the capital of France? PCM16 at 24 kHz."""
    return pcm16(ROOT / "tests/fixtures/audio/capital.wav")


@pytest.fixture(scope="session")
def turn(question) -> bytes:
    """The same with the pause that ends it."""
    return question + bytes(2 * RATE * 3 // 2)


def pieces(pcm: bytes, milliseconds: int = 100):
    """Sound as a microphone gives it."""
    step = 2 * RATE * milliseconds // 1000
    return [pcm[i : i + step] for i in range(0, len(pcm), step)]


def is_heard(pcm: bytes) -> bool:
    """Over half a second of sound that is no silence."""
    samples = np.frombuffer(pcm, np.int16).astype(np.float64)
    return len(samples) > RATE // 2 and float(np.sqrt((samples**2).mean())) > 300
