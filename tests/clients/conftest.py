"""A server of the bundled model, one for all clients, and a spoken question."""

import os
import subprocess
import time
import urllib.request
import wave
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
RATE = 24_000
ANSWER = "The capital of France is Paris."
PATIENCE = 60  # seconds until a test fails; nothing is measured by it
KEY = "s3cret"


class Server:
    """The server's process and where it listens."""

    def __init__(self, model: str, *options: str, key: str | None = KEY):
        binary = os.environ.get("MINI_OMNI", ROOT / "target/release/mini-omni")
        command = [binary, "serve", ROOT / "onnx" / model, "--listen", "127.0.0.1:0", *options]
        environment = os.environ | ({"MINI_OMNI_TOKEN": key} if key else {})
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)
        self.address = self.process.stdout.readline().strip().rpartition("://")[2]
        while not self.is_ready():
            assert self.process.poll() is None, "the server has ended"
            time.sleep(0.05)

    def is_ready(self) -> bool:
        try:
            return urllib.request.urlopen(f"http://{self.address}/readyz").status == 200
        except OSError:
            return False

    @property
    def http(self) -> str:
        return f"http://{self.address}/v1"

    @property
    def realtime(self) -> str:
        return f"ws://{self.address}/v1/realtime"

    def stop(self):
        self.process.kill()
        self.process.wait()


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
    with wave.open(str(ROOT / "tests/fixtures/audio/capital.wav")) as file:
        assert file.getnchannels() == 1 and file.getsampwidth() == 2
        rate = file.getframerate()
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float64)
    at = np.arange(int(len(samples) * RATE / rate)) * rate / RATE
    return np.interp(at, np.arange(len(samples)), samples).astype(np.int16).tobytes()


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
