"""The command line: one subcommand a phase."""

import argparse
from pathlib import Path

from . import codec, speech
from .loop import Schedule


def main(argv: list[str] | None = None) -> None:
    """Runs one phase."""
    parser = argparse.ArgumentParser("mini_omni_training", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("work"), help="data and checkpoints")
    phases = parser.add_subparsers(required=True, metavar="PHASE")
    _data(phases)
    _codec(phases)
    arguments = parser.parse_args(argv)
    arguments.run(arguments)


def _data(phases: argparse._SubParsersAction) -> None:
    read = phases.add_parser("read-aloud", help="speech of free sentences, the answering voice")
    read.add_argument("--hours", type=float, default=20)
    read.add_argument("--part", type=int, default=0)
    read.add_argument("--parts", type=int, default=1)
    read.add_argument("--name", default="reading")
    read.add_argument("--seed", type=int, default=speech.SEED)
    read.set_defaults(
        run=lambda a: speech.read_aloud(a.work / a.name, a.hours, a.part, a.parts, a.seed)
    )
    ask = phases.add_parser("ask", help="spoken questions of the domain, every voice")
    ask.add_argument("--rounds", type=int, default=1)
    ask.set_defaults(run=lambda a: speech.ask(a.work / "questions", a.rounds))


def _codec(phases: argparse._SubParsersAction) -> None:
    parser = phases.add_parser("codec", help="the SNAC-shaped codec, stages a, b and c")
    parser.add_argument("stage", choices="abc")
    _schedule(parser, steps=3000, lr=1e-3)
    parser.set_defaults(
        run=lambda a: codec.train(a.work / "reading", a.work / "codec", a.stage, _read(a))
    )


def _schedule(parser: argparse.ArgumentParser, steps: int, lr: float) -> None:
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--lr", type=float, default=lr)
    parser.add_argument("--threads", type=int, default=0)
    parser.add_argument("--pause-file", type=Path, help="idle while this file exists")


def _read(arguments: argparse.Namespace) -> Schedule:
    return Schedule(
        steps=arguments.steps,
        lr=arguments.lr,
        threads=arguments.threads,
        pause_file=arguments.pause_file,
    )
