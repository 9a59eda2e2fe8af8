"""People who talk with a server over the Realtime socket, in real time: what they hear, and when.

    python benches/talkers.py --model MODEL --talkers 8 --question question.wav

Each asks at a random moment in 20 ms pieces, hears an answer of `--seconds` out, thinks, and asks
again, three times in all. Their player starts with the first sound, or `--player-buffer` later. The
last line tells how long the first sound took from the decision that the turn is over, and how often
a player had nothing left to play. Other options go to `mini-omni serve`. The client is PyPI's
`websockets` (tests/clients/requirements.txt).
"""

import argparse
import asyncio
import base64
import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from websockets.asyncio.client import connect
from websockets.exceptions import WebSocketException

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests" / "clients"))
from serving import RATE, ROOT, Server, pcm16

PIECE = 0.02  # seconds of sound in a message
QUIET = bytes(int(RATE * PIECE) * 2)
PATIENCE = 120  # seconds without a word from the server
TURNS = 3


@dataclass
class Heard:
    """All talkers' figures, seconds."""

    first: list[float] = field(default_factory=list)  # from the decision to the first sound
    late: list[float] = field(default_factory=list)  # how late sound came to a player that had none
    failures: list[str] = field(default_factory=list)


async def microphone(socket, say: asyncio.Queue) -> None:
    """Sends sound in real time without end: what is put into `say`, else silence."""
    rest, due = b"", time.monotonic()
    while True:
        if not rest and not say.empty():
            rest = say.get_nowait()
        piece, rest = (rest[: len(QUIET)] or QUIET), rest[len(QUIET) :]
        sound = base64.b64encode(piece.ljust(len(QUIET), b"\0")).decode()
        await socket.send(json.dumps({"type": "input_audio_buffer.append", "audio": sound}))
        due += PIECE
        await asyncio.sleep(max(0, due - time.monotonic()))


async def hear(socket, seconds: float, buffer: float, heard: Heard) -> None:
    """One answer until `seconds` of it have come; then it is cancelled, and what came is played."""
    over = began = None
    created, got = False, 0.0
    while got < seconds:
        event = json.loads(await asyncio.wait_for(socket.recv(), PATIENCE))
        now = time.monotonic()
        match event["type"]:
            case "input_audio_buffer.speech_stopped":
                over = now
            case "error" if not event["error"]["message"].startswith("Cancellation"):  # it was over
                raise RuntimeError(event["error"]["message"])
            case "response.created":
                created = True
            case "response.output_audio.delta" if created:
                if began is None:
                    began = now + buffer
                    heard.first.append(began - over)
                elif now > began + got:
                    heard.late.append(now - began - got)
                    began = now - got  # it plays on from here
                got += len(base64.b64decode(event["delta"])) / 2 / RATE
            case "response.done" if created:
                break
    else:
        await socket.send(json.dumps({"type": "response.cancel"}))
    if began is None:
        raise RuntimeError("an answer without sound")
    await asyncio.sleep(max(0, began + min(got, seconds) - time.monotonic()))


async def talk(
    url: str, question: bytes, arguments: argparse.Namespace, rng: random.Random, heard: Heard
) -> None:
    """One person, three questions."""
    seconds = arguments.seconds
    async with connect(url, max_size=None) as socket:
        turn_end = {"type": "server_vad", "interrupt_response": False}
        session = {"type": "realtime", "audio": {"input": {"turn_detection": turn_end}}}
        await socket.send(json.dumps({"type": "session.update", "session": session}))
        say: asyncio.Queue = asyncio.Queue()
        speaking = asyncio.create_task(microphone(socket, say))
        try:
            await asyncio.sleep(rng.uniform(0, seconds))
            for _ in range(TURNS):
                say.put_nowait(question)
                await hear(socket, seconds, arguments.player_buffer / 1000, heard)
                await asyncio.sleep(rng.uniform(0.5, seconds / 4))
        except (TimeoutError, OSError, RuntimeError, WebSocketException) as error:
            heard.failures.append(repr(error))
        finally:
            speaking.cancel()


async def all_at_once(url: str, arguments: argparse.Namespace, question: bytes) -> Heard:
    """The figures of all talkers."""
    heard = Heard()
    rngs = [random.Random(f"{arguments.seed}/{i}") for i in range(arguments.talkers)]
    people = [talk(url, question, arguments, rng, heard) for rng in rngs]
    await asyncio.gather(*people)
    return heard


def main() -> None:
    """Prints one line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--question", type=Path, default=ROOT / "tests/fixtures/audio/capital.wav")
    parser.add_argument("--talkers", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=15, help="of each answer")
    parser.add_argument("--player-buffer", type=float, default=0, metavar="MS")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--binary", type=Path, default=ROOT / "target/release/mini-omni")
    arguments, options = parser.parse_known_args()
    question = pcm16(arguments.question)
    server = Server(
        arguments.model.resolve(), "--conversations", str(arguments.talkers), *options,
        key=None, binary=arguments.binary, log=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        heard = asyncio.run(all_at_once(server.realtime, arguments, question))
    finally:
        server.process.send_signal(signal.SIGTERM)
        peak = os.wait4(server.process.pid, 0)[2].ru_maxrss
    first = 1000 * np.array(heard.first or [np.nan])
    late = 1000 * np.array(heard.late or [0.0])
    print(
        f"{arguments.talkers} talkers, {len(heard.first)} answers: first sound after the decision "
        f"{np.median(first):.0f} ms (p95 {np.percentile(first, 95):.0f}), late "
        f"{len(heard.late)} times (worst {late.max():.0f} ms), failures {len(heard.failures)}, "
        f"peak memory {peak / 1e6:.1f} GB"
    )
    for failure in heard.failures:
        print(failure)


if __name__ == "__main__":
    main()
