"""The command line: one subcommand a step, each a few lines; see the README for their order."""

import argparse
import dataclasses
import shutil
import subprocess
import sys
from pathlib import Path

from . import codec, evaluate, phases, prepare, recipe, restore, speech, sprint, tokenizer, whisper
from .config import Config
from .judge import Judge
from .layout import TASKS
from .loop import Schedule
from .model import average
from .runners import Binary, Runner, Torch


def main(argv: list[str] | None = None) -> None:
    """Runs one step."""
    parser = argparse.ArgumentParser("mini_omni_training", description=__doc__)
    parser.add_argument("--work", type=Path, default=Path("work"), help="data and checkpoints")
    commands = parser.add_subparsers(required=True, metavar="STEP")
    for add in (
        _train, _read_aloud, _answer, _ask, _codec, _prepare, _import, _restore,
        _phase, _sprint, _average, _evaluate,
    ):  # fmt: skip
        add(commands)
    arguments = parser.parse_args(argv)
    arguments.run(arguments)


def _train(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("train", help="all steps, from nothing to an exported model")
    parser.add_argument("--toy", action="store_true", help="the least of everything")
    parser.add_argument("--out", type=Path, help="the exported folder; default WORK/model")

    def run(a: argparse.Namespace) -> None:
        for command in recipe.steps(recipe.TOY if a.toy else recipe.FULL):
            print("#", *command, flush=True)
            main(["--work", str(a.work), *command])
        arguments = recipe.export(a.work, a.out or a.work / "model")
        subprocess.run([sys.executable, "-m", "mini_omni_export", *arguments], check=True)

    parser.set_defaults(run=run)


def _read_aloud(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("read-aloud", help="speech of free sentences")
    parser.add_argument("--hours", type=float, default=20)
    parser.add_argument("--part", type=int, default=0, help="this process's part of --parts")
    parser.add_argument("--parts", type=int, default=1)
    parser.add_argument("--unseen", action="store_true", help="sentences to test with")

    def run(a: argparse.Namespace) -> None:
        name, seed = ("unseen", speech.UNSEEN_SEED) if a.unseen else ("reading", speech.SEED)
        speech.read_aloud(a.work / name, a.hours, a.part, a.parts, seed)

    parser.set_defaults(run=run)


def _answer(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("answer", help="every answer of the domain by the answering voice")
    parser.add_argument("--limit", type=int, help="at most so many")
    parser.set_defaults(run=lambda a: speech.say_answers(a.work / "answers", a.limit))


def _ask(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("ask", help="spoken questions of the domain, every voice")
    parser.add_argument("--clips", type=int, default=40_000, help="to train with")
    parser.add_argument("--test-clips", type=int, default=300, help="of each cell, at most")
    parser.set_defaults(run=lambda a: speech.ask(a.work / "questions", a.clips, a.test_clips))


def _codec(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("codec", help="the SNAC-shaped codec, stages a and b")
    parser.add_argument("stage", choices="ab")
    _schedule(parser, steps=1500, lr=2e-3)
    parser.set_defaults(
        run=lambda a: codec.train(a.work / "reading", a.work / "codec", a.stage, _read(a))
    )


def _prepare(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("prepare", help="tokenizer, codes, Whisper features")
    parser.add_argument("what", choices=["tokenizer", "whisper", "codes", "features"])
    parser.add_argument("--ctranslate2", type=Path, help="its model.bin; default the package's")
    parser.add_argument("--limit", type=int, help="features of at most so many questions")

    def run(a: argparse.Namespace) -> None:
        if a.what == "tokenizer":
            tokenizer.train(a.work / "tokenizer.json", Config())
        elif a.what == "whisper":
            if not _whisper(a).exists():
                whisper.convert(a.ctranslate2 or whisper.packaged(), _whisper(a))
        elif a.what == "codes":
            for name in ("reading", "answers", "unseen"):
                prepare.encode_speech(a.work, name)
        else:
            for name in ("test", "train"):
                prepare.hear_questions(a.work, name, _whisper(a), a.limit)

    parser.set_defaults(run=run)


def _import(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("import", help="rows of a public data set, .parquet or .jsonl")
    parser.add_argument("layout", choices=["voice-assistant", "open-orca"])
    parser.add_argument("file", type=Path)

    def run(a: argparse.Namespace) -> None:
        if a.layout == "open-orca":
            prepare.import_text(a.work, a.file)
        else:
            prepare.import_spoken(a.work, a.file, _whisper(a))

    parser.set_defaults(run=run)


def _restore(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("restore", help="an exported int8 model as a checkpoint again")
    parser.add_argument("model", type=Path, help="its folder")

    def run(a: argparse.Namespace) -> None:
        folder = a.work / "restored"
        restore.restore(a.model).save(folder)
        restore.restore_codec(a.model).save(a.work / "codec")
        asking = tokenizer.for_questions(tokenizer.load(a.model / "tokenizer.json"))
        for target in (folder, a.work):
            asking.save(str(target / "tokenizer.json"))

    parser.set_defaults(run=run)


def _phase(commands: argparse._SubParsersAction) -> None:
    for number in phases.PHASES:
        parser = commands.add_parser(f"phase{number}", help=f"phase {number} of the recipe")
        parser.add_argument("--base", type=Path, help="a published layout to start from")
        parser.add_argument("--frozen-base", action="store_true", help="phase 1 of a real base")
        parser.add_argument("--columns", type=int, default=phases.Plan.columns)
        parser.add_argument(
            "--heard",
            type=int,
            default=0,
            metavar="COLUMNS",
            help="further columns of a batch that are heard and nothing more",
        )
        parser.add_argument("--corrupt", type=float, default=phases.Plan.corrupt)
        parser.add_argument("--mix", help="other shares of the tasks: A1T2=0.5,T1T2=0.5")
        parser.add_argument("--layers", type=int, help="more blocks than the base has")
        _schedule(parser, steps=5000, lr=1.5e-3)

        def run(a: argparse.Namespace, number: int = number) -> None:
            plan = phases.Plan(
                a.columns, a.heard, a.corrupt, not a.frozen_base, _mix(a.mix), a.layers
            )
            base = a.base or (a.work / f"phase{number - 1}" if number > 1 else None)
            phases.train(a.work, number, Config(), _read(a), plan, base)

        parser.set_defaults(run=run)


def _sprint(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("sprint", help="phase 3 on a GPU, for so many seconds")
    parser.add_argument("--base", type=Path, required=True, help="a published layout to start from")
    parser.add_argument("--layers", type=int, help="more blocks than the base has")
    fields = dataclasses.fields(sprint.Budget)
    for field in fields:
        name = "--" + field.name.replace("_", "-")
        kind = type(field.default)
        parser.add_argument(name, type=kind, default=field.default, help="%(default)s")

    def run(a: argparse.Namespace) -> None:
        budget = sprint.Budget(**{field.name: getattr(a, field.name) for field in fields})
        sprint.train(a.work, a.base, a.layers, _whisper(a), budget)

    parser.set_defaults(run=run)


def _average(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("average", help="the weighted mean of checkpoints of one run")
    parser.add_argument("checkpoints", nargs="+", metavar="FOLDER=WEIGHT")
    parser.add_argument("--out", type=Path, required=True, help="the folder to write")

    def run(a: argparse.Namespace) -> None:
        checkpoints = {Path(name): weight for name, weight in _shares(a.checkpoints).items()}
        average(checkpoints).save(a.out)
        shutil.copy(next(iter(checkpoints)) / "tokenizer.json", a.out)

    parser.set_defaults(run=run)


def _mix(text: str | None) -> dict[str, float] | None:
    if text is None:
        return None
    shares = _shares(text.split(","))
    if unknown := set(shares) - set(TASKS):
        raise SystemExit(f"--mix: no such task: {', '.join(sorted(unknown))}")
    return shares


def _shares(parts: list[str]) -> dict[str, float]:
    """NAME=NUMBER, each."""
    pairs = (part.rpartition("=") for part in parts)
    try:
        return {name: float(share) for name, _, share in pairs}
    except ValueError as error:
        raise SystemExit(f"NAME=NUMBER is wanted, not {' '.join(parts)}: {error}") from error


def _evaluate(commands: argparse._SubParsersAction) -> None:
    parser = commands.add_parser("eval", help="the figures of the model card")
    parser.add_argument("--items", type=int, default=100, help="of each cell")
    parser.add_argument("--checkpoint", type=Path, help="a phase's folder; default phase3")
    parser.add_argument("--model", type=Path, help="an exported folder, run by --binary instead")
    parser.add_argument("--binary", type=Path, default=Path("target/release/mini-omni"))
    parser.add_argument("--recorded", type=Path, help="recorded questions, transcripts.json")
    parser.add_argument("--only", choices=["codec", "reading", "written"])
    parser.add_argument("--out", type=Path, help="the figures' JSON file")
    parser.set_defaults(run=_run_evaluation)


def _run_evaluation(a: argparse.Namespace) -> None:
    if a.recorded and not (a.recorded / "transcripts.json").exists():
        raise SystemExit(f"--recorded: {a.recorded} has no transcripts.json")
    judge, scores, recorded = Judge(a.work / "judge"), {}, {}
    if a.only == "written":
        scores = evaluate.written_scores(_runner(a), judge.words, a.items)
    elif a.only == "codec":
        scores = evaluate.codec_scores(a.work, codec.load(a.work / "codec"), judge, a.items)
    else:
        scores, recorded = _evaluate_model(a, judge)
    print(evaluate.write(a.out or a.work / "evaluation.json", scores, recorded))


def _runner(a: argparse.Namespace) -> Runner:
    if a.model:
        return Binary(a.binary, a.model)
    return Torch.of_checkpoint(a.work, a.checkpoint or a.work / "phase3", _whisper(a))


def _evaluate_model(a: argparse.Namespace, judge: Judge) -> tuple[evaluate.Scores, dict]:
    runner = _runner(a)
    reader, aloud = (Torch.of_export(a.model), ["SAY"]) if a.model else (runner, ["SAY", "READ"])
    scores = {}
    if reader:
        scores |= evaluate.codec_scores(a.work, reader.codec, judge, a.items)
        scores |= evaluate.reading_scores(a.work, reader, judge, a.items, aloud)
    if not a.only:
        scores |= evaluate.written_scores(runner, judge.words, a.items)
        scores |= evaluate.spoken_scores(a.work, runner, judge, a.items)
        scores |= evaluate.no_speech_scores(runner, judge.words)
    recorded = evaluate.recorded_answers(runner, judge, a.recorded) if a.recorded else {}
    return scores, recorded


def _whisper(a: argparse.Namespace) -> Path:
    return a.work / "whisper" / "tiny.pt"


def _schedule(parser: argparse.ArgumentParser, steps: int, lr: float) -> None:
    parser.add_argument("--steps", type=int, default=steps)
    parser.add_argument("--lr", type=float, default=lr)
    parser.add_argument("--threads", type=int, default=0, help="0: as torch likes")
    parser.add_argument("--pause-file", type=Path, help="idle while this file exists")


def _read(a: argparse.Namespace) -> Schedule:
    return Schedule(steps=a.steps, lr=a.lr, threads=a.threads, pause_file=a.pause_file)
