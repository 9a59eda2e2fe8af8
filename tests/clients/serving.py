"""A server of a model in a process of its own, and sound as its clients send it."""

import os
import subprocess
import time
import urllib.request
import wave
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
RATE = 24_000
KEY = "s3cret"


class Server:
    """The server's process and where it listens."""

    def __init__(
        self,
        model: str | Path,
        *options: str,
        key: str | None = KEY,
        binary: Path | None = None,
        log: int | None = None,
    ):
        """`model`: a folder, or a name in onnx/; `log`: where standard error goes."""
        binary = binary or os.environ.get("MINI_OMNI", ROOT / "target/release/mini-omni")
        command = [binary, "serve", ROOT / "onnx" / model, "--listen", "127.0.0.1:0", *options]
        environment = os.environ | ({"MINI_OMNI_TOKEN": key} if key else {})
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=log, text=True, env=environment
        )
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


def pcm16(path: Path) -> bytes:
    """A wav of one channel and 16 bits as PCM16 at RATE."""
    with wave.open(str(path)) as file:
        rate = file.getframerate()
        if file.getnchannels() != 1 or file.getsampwidth() != 2:
            raise SystemExit(f"{path}: one channel of 16 bits is needed")
        samples = np.frombuffer(file.readframes(file.getnframes()), np.int16).astype(np.float64)
    at = np.arange(int(len(samples) * RATE / rate)) * rate / RATE
    return np.interp(at, np.arange(len(samples)), samples).astype(np.int16).tobytes()
