"""`mini-omni-export`: published checkpoints in, one model folder out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .errors import ExportError
from .model import PRECISIONS, Options, Source, export, read_source
from .random_model import random_source

EXIT_BAD_INPUT = 2
GRAPH_PRECISIONS = {
    "encoder": ["fp32", "fp16", "int8"],
    "decoder": ["fp32", "fp16", "int8", "int4"],
    "codec": ["fp32", "int8"],
}


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog="mini-omni-export",
        description="Writes a Mini-Omni model folder for the mini-omni runtime.",
    )
    p.add_argument("--checkpoint", type=Path, metavar="DIR",
                   help="folder with lit_model.pth, model_config.yaml, tokenizer.json")
    p.add_argument("--whisper", type=Path, metavar="FILE", help="OpenAI's small.pt")
    p.add_argument("--snac", type=Path, metavar="DIR",
                   help="folder with SNAC's config.json and pytorch_model.bin")
    p.add_argument("--published", action="store_true",
                   help="fetch the three published checkpoints instead")
    p.add_argument("--random", choices=["full", "tiny"],
                   help="random weights instead: of the published sizes for benchmarks, or tiny")
    p.add_argument("--seed", type=int, default=1, help="of --random")
    _add_precisions(p)
    p.add_argument("--profile", choices=["fused", "portable"], default="fused",
                   help="fused: CPU and CUDA; portable: standard ONNX operators only")
    p.add_argument("--name", default="mini-omni", help="the model's name in its manifest")
    p.add_argument("--weights", choices=["trained", "random"], default="trained",
                   help="random: users are told that the speech is noise")
    p.add_argument("--out", type=Path, required=True, metavar="DIR", help="the model folder")
    p.add_argument("--force", action="store_true", help="replace an existing model folder")
    return p


def _add_precisions(p: argparse.ArgumentParser) -> None:
    p.add_argument("--precision", choices=list(PRECISIONS), default="fp32",
                   help="of the weights; int4: decoder 4 bits, the rest 8; fp16: for GPUs")
    for graph, choices in GRAPH_PRECISIONS.items():
        p.add_argument(f"--{graph}-precision", choices=choices, help=f"of the {graph} alone")
    p.add_argument("--block-size", type=int, choices=[32, 128], default=128,
                   help="weights that share a scale: 32 is more exact, 128 smaller and faster")


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    args = parser().parse_args(argv)
    try:
        run(args)
    except ExportError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except OSError as error:
        print(f"error: cannot write the model: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    return 0


def run(args: argparse.Namespace) -> None:
    """Reads the source that was named and exports it."""
    given = {graph: getattr(args, f"{graph}_precision") for graph in GRAPH_PRECISIONS}
    overrides = {graph: precision for graph, precision in given.items() if precision}
    options = Options(args.profile, args.precision, overrides, args.block_size)
    source = _source(args)
    export(source, options, args.out, args.force)
    print(f"{args.out} is ready: mini-omni inspect {args.out}")


def _source(args: argparse.Namespace) -> Source:
    if args.random:
        if args.published or args.checkpoint or args.whisper or args.snac:
            raise ExportError("--random makes the whole model; leave the checkpoints away")
        return random_source(args.random, args.seed)
    return read_source(*_paths(args), args.name, args.weights)


def _paths(args: argparse.Namespace) -> tuple[Path, Path, Path]:
    paths = (args.checkpoint, args.whisper, args.snac)
    if args.published:
        if any(paths):
            raise ExportError("--published stands in place of --checkpoint, --whisper and --snac")
        from .published import fetch

        return fetch().paths
    if not all(paths):
        raise ExportError("give --checkpoint, --whisper and --snac, or --published to fetch them")
    return paths
