"""`mini-omni-export`: published checkpoints in, one model folder out."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from . import __version__
from .errors import ExportError
from .options import PRECISIONS, Options
from .stop import Stopped, stoppable

if TYPE_CHECKING:
    from .model import Source

EXIT_BAD_INPUT = 2
EXIT_SIGNAL = 128  # plus its number, as shells have it
GRAPH_PRECISIONS = {
    "encoder": ["fp32", "fp16", "int8"],
    "decoder": ["fp32", "fp16", "int8", "int4"],
    "codec": ["fp32", "int8"],
}
DEFAULTS = {"seed": 1, "name": "mini-omni", "weights": "trained", "block_size": 128}
EXAMPLES = """\
examples:
  mini-omni-export --published --precision int4 --out onnx/mini-omni
  mini-omni-export --checkpoint mini-omni --whisper small.pt --snac snac_24khz --out onnx/mini-omni
  mini-omni-export --random tiny --out onnx/tiny
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    p = argparse.ArgumentParser(
        prog="mini-omni-export", epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        description="Writes a Mini-Omni model folder for the mini-omni runtime.",
    )
    p.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    _add_sources(p)
    _add_precisions(p)
    p.add_argument("--profile", choices=["fused", "cuda", "portable"], default="fused",
                   help="fused: CPU; cuda: NVIDIA GPUs, in fp16, int8 or int4; portable: standard "
                        "ONNX operators only (default: %(default)s)")
    p.add_argument("--trim", action="store_true",
                   help="say in the manifest that what is not speech is cut off at both ends of a "
                        "spoken question")
    p.add_argument("--out", type=Path, required=True, metavar="DIR",
                   help="the model folder to write; it must not exist yet")
    p.add_argument("--force", action="store_true", help="replace the model folder at --out")
    return p


def _add_sources(p: argparse.ArgumentParser) -> None:
    p = p.add_argument_group("source", "three checkpoints, or --published, or --random")
    p.add_argument("--checkpoint", type=Path, metavar="DIR",
                   help="folder with lit_model.pth, model_config.yaml, tokenizer.json")
    p.add_argument("--whisper", type=Path, metavar="FILE", help="OpenAI's small.pt")
    p.add_argument("--snac", type=Path, metavar="DIR",
                   help="folder with SNAC's config.json and pytorch_model.bin")
    p.add_argument("--published", action="store_true",
                   help="fetch the three published checkpoints (3.3 GB, once)")
    p.add_argument("--random", choices=["full", "tiny"],
                   help="random weights, of the published sizes (for benchmarks) or tiny")
    p.add_argument("--seed", type=_seed,
                   help=f"seed of --random (default: {DEFAULTS['seed']})")
    p.add_argument("--name", help="the model's name in its manifest; a random model has its own "
                                  f"(default: {DEFAULTS['name']})")
    p.add_argument("--weights", choices=["trained", "random"],
                   help="what the weights of --checkpoint are; random: users are told that the "
                        f"speech is noise (default: {DEFAULTS['weights']})")


def _add_precisions(p: argparse.ArgumentParser) -> None:
    p = p.add_argument_group("precision")
    p.add_argument("--precision", choices=list(PRECISIONS), default="fp32",
                   help="of the weights; int4: decoder 4 bits, the rest 8; fp16: for GPUs "
                        "(default: %(default)s)")
    for graph, choices in GRAPH_PRECISIONS.items():
        p.add_argument(f"--{graph}-precision", choices=choices,
                       help=f"of the {graph} alone (default: what --precision gives it)")
    p.add_argument("--block-size", type=int, choices=[32, 128],
                   help="decoder weights that share a scale, in int8 and int4: 32 is more exact, "
                        f"128 smaller and faster (default: {DEFAULTS['block_size']})")


def _seed(text: str) -> int:
    if not text.isascii() or not text.isdigit() or len(text) > 18:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of at most 18 digits")
    return int(text)


def main(argv: list[str] | None = None) -> int:
    """Runs the command; returns the exit code."""
    args = parser().parse_args(argv)
    with stoppable():
        return _outcome(args)


def _outcome(args: argparse.Namespace) -> int:
    try:
        run(args)
        return 0
    except Stopped as stopped:
        said, code = f"{stopped}; nothing is left half-written", EXIT_SIGNAL + stopped.number
    except ExportError as error:
        said, code = f"error: {error}", EXIT_BAD_INPUT
    except OSError as error:
        said, code = f"error: cannot write the model: {error}", EXIT_BAD_INPUT
    except MemoryError:
        said, code = "error: the export needs more memory than there is", EXIT_BAD_INPUT
    print(said, file=sys.stderr)
    return code


def run(args: argparse.Namespace) -> None:
    """Reads the source that was named and exports it."""
    given = {graph: getattr(args, f"{graph}_precision") for graph in GRAPH_PRECISIONS}
    overrides = {graph: precision for graph, precision in given.items() if precision}
    _check_cuda(args, overrides)
    options = Options(args.profile, args.precision, overrides, trim=args.trim)
    _check_sources(args)
    _refuse_without_effect(args, options)
    for name, value in DEFAULTS.items():
        if getattr(args, name) is None:
            setattr(args, name, value)
    options.block = args.block_size
    from .model import export  # half a second, in which a signal is already heeded

    export(_source(args), options, args.out, args.force)
    print(f"{args.out} is ready: mini-omni inspect {args.out}")


def _check_cuda(args: argparse.Namespace, overrides: dict[str, str]) -> None:
    """The cuda profile has what ONNX Runtime's CUDA provider computes, and nothing else."""
    if args.profile != "cuda":
        return
    decoder = overrides.get("decoder")
    if decoder == "fp32" or (args.precision == "fp32" and decoder is None):
        raise ExportError("attention on CUDA is in fp16: give the cuda profile --precision fp16, "
                          "int8 or int4; --profile portable computes in fp32 there")
    if args.precision == "fp32":
        raise ExportError("--decoder-precision alone leaves --precision at fp32, which the cuda "
                          f"profile does not have: give --precision {decoder} in its place")
    for graph in ("encoder", "codec"):
        if overrides.get(graph) == "int8":
            raise ExportError(f"CUDA has no kernels for the {graph} in int8; leave "
                              f"--{graph}-precision away")


def _refuse_without_effect(args: argparse.Namespace, options: Options) -> None:
    """An option that would change nothing was meant for something else."""
    decoder = options.precisions["decoder"]
    for option, value, idle, why in [
        ("--seed", args.seed, not args.random, "only --random draws weights"),
        ("--name", args.name, args.random, "--random names its models itself"),
        ("--weights", args.weights, args.random, "those of --random are random"),
        ("--weights", args.weights, args.published, "the published ones are trained"),
        ("--block-size", args.block_size, decoder not in ("int8", "int4"),
         f"a decoder in {decoder} has no blocks"),
    ]:
        if value is not None and idle:
            raise ExportError(f"{option} has no effect here: {why}; leave it away")


def _check_sources(args: argparse.Namespace) -> None:
    paths = (args.checkpoint, args.whisper, args.snac)
    if args.random and (args.published or any(paths)):
        raise ExportError("--random makes the whole model; leave the checkpoints away")
    if args.published and any(paths):
        raise ExportError("--published stands in place of --checkpoint, --whisper and --snac")
    if not (args.random or args.published or all(paths)):
        raise ExportError("give --checkpoint, --whisper and --snac, or --published to fetch them")


def _source(args: argparse.Namespace) -> Source:
    from .model import read_source
    from .random_model import random_source

    if args.random:
        return random_source(args.random, args.seed)
    paths = (args.checkpoint, args.whisper, args.snac)
    if args.published:
        from .published import fetch

        paths = fetch().paths
    return read_source(*paths, args.name, args.weights)
