"""One model folder from one set of checkpoint files: the four graphs, tokenizer and manifest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx

from . import __version__, checkpoint, sound, window
from .checkpoint import Tensors
from .codec import build_codec_decoder
from .codec_encoder import build_codec_encoder
from .config import (
    AUDIO_STREAMS,
    LEVELS,
    CodecConfig,
    DecoderConfig,
    WhisperConfig,
    read_codec_config,
    read_decoder_config,
    read_whisper_config,
)
from .decoder import LARGEST_FUSED_HEAD, build_decoder, fused_head_size
from .encoder import build_encoder
from .errors import ExportError
from .folder import whole_folder
from .formats import make_format
from .graph import OPSET, Graph
from .options import Options
from .progress import bar, note
from .settings import read_text
from .shapes import check, codec_shapes, lm_shapes, mel_encoder_shapes, whisper_shapes

FORMAT_VERSION = 1
MEL = {  # Whisper's, the same in every size
    "sample_rate": 16000, "n_fft": 400, "hop_length": 160, "max_seconds": 30,
    "frames_per_feature": 2, "feature_ms": 20,
}
GRAPHS = ["encoder", "decoder", "codec_decoder", "codec_encoder"]
MANIFEST = "manifest.json"
MOST_TOKENIZER_BYTES = 64 << 20
MOST_TOKENIZER_VALUES = 4_000_000  # ids, merges and what holds them; Qwen2's has half a million


@dataclass
class Source:
    """Checkpoint files read and checked, ready to be exported."""

    name: str
    weights: str  # "trained" or "random"
    lm: Tensors
    lm_config: DecoderConfig
    whisper: Tensors
    whisper_config: WhisperConfig
    snac: Tensors
    snac_config: CodecConfig
    tokenizer: str
    files: list[Path]


def read_source(
    lm_dir: Path, whisper_file: Path, snac_dir: Path, name: str, weights: str
) -> Source:
    """Opens the published files; nothing is copied yet."""
    lm_file, snac_file = lm_dir / "lit_model.pth", snac_dir / "pytorch_model.bin"
    config_file, tokenizer_file = lm_dir / "model_config.yaml", lm_dir / "tokenizer.json"
    lm_config = read_decoder_config(config_file)
    snac_config = read_codec_config(snac_dir / "config.json")
    whisper = checkpoint.load(whisper_file)
    if not isinstance(whisper, dict) or "model_state_dict" not in whisper:
        raise ExportError(f"{whisper_file} has no model_state_dict; it is no OpenAI Whisper file")
    whisper_config = read_whisper_config(whisper.get("dims"), whisper_file)
    source = Source(
        name, weights, Tensors(checkpoint.load(lm_file), lm_file), lm_config,
        Tensors(whisper["model_state_dict"], whisper_file), whisper_config,
        Tensors(checkpoint.load(snac_file), snac_file), snac_config,
        _read_tokenizer(tokenizer_file),
        [lm_file, config_file, tokenizer_file, whisper_file, snac_file, snac_dir / "config.json"],
    )
    check_fit(source)
    _check_tensors(source)
    return source


def _check_tensors(source: Source) -> None:
    """Each file holds the tensors of its config, and no others."""
    lm, snac = lm_shapes(source.lm_config), codec_shapes(source.snac_config)
    if "lm_head.weight" in source.lm:  # a tied model may store its table twice
        lm["lm_head.weight"] = lm["transformer.wte.weight"]
    check(source.lm, lm)
    check(source.whisper, whisper_shapes(source.whisper_config), unused="decoder.")
    if source.snac_config.encoder == "mel":
        snac |= mel_encoder_shapes(source.snac, source.snac_config)
    check(source.snac, snac)


def _read_tokenizer(path: Path) -> str:
    """It is taken along as it is, if it is a tokenizer in JSON."""
    text = read_text(path, MOST_TOKENIZER_BYTES)
    if sum(map(text.count, "[{,")) > MOST_TOKENIZER_VALUES:  # each takes memory when it is read
        raise ExportError(f"{path} holds more values than a tokenizer has")
    try:
        tokenizer = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ExportError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(tokenizer, dict) or not isinstance(tokenizer.get("model"), dict):
        raise ExportError(f"{path} holds no tokenizer's model; it is one of the published files")
    return text


def check_fit(source: Source) -> None:
    """The three checkpoints must be of one model."""
    lm, snac = source.lm_config, source.snac_config
    if lm.special_ids["eoa"] != snac.codebook_size:
        raise ExportError(
            f"the language model speaks {lm.special_ids['eoa']} audio ids, "
            f"the codec has {snac.codebook_size}; they belong to different models"
        )
    if lm.whisper_adapter_dim != source.whisper_config.n_audio_state:
        raise ExportError(
            f"the adapter takes {lm.whisper_adapter_dim} features, this Whisper gives "
            f"{source.whisper_config.n_audio_state}; the published model uses Whisper small"
        )


def export(source: Source, options: Options, out: Path, force: bool = False) -> None:
    """Writes the model folder `out`; an existing model folder is replaced only with `force`."""
    _check_profile(source, options)
    with whole_folder(out, MANIFEST, force) as folder:
        write(source, options, folder)


def _check_profile(source: Source, options: Options) -> None:
    head = fused_head_size(source.lm_config)
    if options.profile != "portable" and head > LARGEST_FUSED_HEAD:
        raise ExportError(
            f"a head of {source.lm_config.head_size} is too large for the {options.profile} "
            f"profile, whose attention takes {LARGEST_FUSED_HEAD}; --profile portable takes any"
        )


def write(source: Source, options: Options, folder: Path) -> None:
    """Writes graphs, tokenizer and manifest into an empty folder."""
    _note_tied(source)
    with bar(desc="export") as shown:
        def progress(name: str, size: int) -> None:
            shown.set_postfix_str(name, refresh=False)
            shown.update(size)

        graphs = {name: Graph(folder, name, progress) for name in GRAPHS}
        codec = _build(source, options, graphs)
        specs = {name: graph.save() for name, graph in graphs.items()}
    _report(graphs, folder)
    (folder / "tokenizer.json").write_text(source.tokenizer, encoding="utf-8")
    manifest = describe(source, options, codec, specs)
    if has_plan(options):
        trained = source.weights == "trained"
        manifest["merged_window"] = window.plan(source.whisper, source.whisper_config, trained)
    if options.trim:
        manifest["hearing"] = {"trim": True}
    manifest |= {"files": _files(folder)}
    (folder / MANIFEST).write_text(json.dumps(manifest, indent=1) + "\n", encoding="utf-8")


def _build(source: Source, options: Options, graphs: dict[str, Graph]) -> dict:
    """Fills all graphs; returns what the manifest says of the codec."""
    _set_formats(graphs, options)
    fused = options.profile != "portable"
    build_encoder(
        graphs["encoder"], source.whisper, source.whisper_config, source.lm, source.lm_config,
        fused, has_plan(options),
    )
    build_decoder(graphs["decoder"], source.lm, source.lm_config, options.profile)
    build_codec_encoder(graphs["codec_encoder"], source.snac, source.snac_config)
    if options.precisions["codec"] == "int8":
        _keep_sound(source, graphs["codec_decoder"])
    return build_codec_decoder(graphs["codec_decoder"], source.snac, source.snac_config)


def _keep_sound(source: Source, graph: Graph) -> None:
    """Leaves layers of the codec exact where 8 bits would be heard, and says so."""
    verdict = sound.verdict(source.snac, source.snac_config)
    graph.format.exact = frozenset(verdict.exact)
    graph.format.report.sound = verdict
    if verdict.exact:
        note(
            f"with all layers in 8 bits this codec's sound would be {verdict.db:.1f} dB above its "
            f"error; {len(verdict.exact)} of {verdict.layers} layers stay in fp32, which makes it "
            f"{verdict.kept_db:.1f} dB. --codec-precision fp32 keeps all of it exact"
        )


def has_plan(options: Options) -> bool:
    """Whether the encoder can leave positions out: where its weights are not the exact ones anyway,
    so that the exact export has the exact window."""
    return options.precisions["encoder"] == "int8"


def _set_formats(graphs: dict[str, Graph], options: Options) -> None:
    for name, precision in options.precisions.items():
        graph = "codec_decoder" if name == "codec" else name  # its encoder is for tools: fp32
        graphs[graph].format = make_format(
            graph, precision, options.block, options.profile
        )


def _report(graphs: dict[str, Graph], folder: Path) -> None:
    """Writes quantization.json where something was quantised."""
    parts = {
        name: graph.format.report.summary(graph.bytes)
        for name, graph in graphs.items() if graph.format.report
    }
    if not parts:
        return
    total = sum(graph.bytes for graph in graphs.values())
    report = {"total_bytes": total, "graphs": parts}
    (folder / "quantization.json").write_text(json.dumps(report, indent=1) + "\n", "utf-8")


def _note_tied(source: Source) -> None:
    """A tied model may store its table twice; if the copies differ the embedding counts."""
    lm = source.lm
    if not source.lm_config.tied or "lm_head.weight" not in lm:  # nothing to compare
        return
    head, wte = lm.stored("lm_head.weight"), lm.stored("transformer.wte.weight")
    rows = max(1, 2**24 // wte.shape[-1])  # compared in pieces, to stay small in memory
    if not all((head[at : at + rows] == wte[at : at + rows]).all()
               for at in range(0, len(wte), rows)):
        note(
            "lm_head.weight differs from transformer.wte.weight although the config ties "
            "them; transformer.wte.weight is used for both, as the original does"
        )


def describe(source: Source, options: Options, codec: dict, specs: dict) -> dict[str, Any]:
    """The manifest, all but its list of files."""
    lm, snac = source.lm_config, source.snac_config
    fused = options.profile != "portable"
    return {
        "format_version": FORMAT_VERSION,
        "name": source.name,
        "weights": source.weights,
        "exporter": {
            "name": "mini_omni_export", "version": __version__,
            "onnx": onnx.__version__, "opset": OPSET,
        },
        "source": [_file(path) for path in source.files],
        "profile": options.profile,
        "precision": options.precisions,
        "mel": MEL | {"n_mels": source.whisper_config.n_mels},
        "ids": {
            "audio_streams": AUDIO_STREAMS, "text_vocab_size": lm.text_vocab_size,
            "audio_vocab_size": lm.audio_vocab_size,
        } | lm.special_ids,
        "delays": list(range(1, AUDIO_STREAMS + 1)),
        "decoder": {
            "n_layer": lm.n_layer, "n_embd": lm.n_embd, "n_head": lm.n_head,
            "n_kv_head": lm.n_query_groups,
            "head_size": fused_head_size(lm) if fused else lm.head_size,
            "max_length": lm.block_size,
            "kv_cache": "shared" if fused else "concat",
        } | ({"cache_dtype": "float16"} if options.profile == "cuda" else {}),
        "codec": {
            "sample_rate": snac.sampling_rate, "samples_per_frame": snac.samples_per_frame,
            "levels": LEVELS, "level_strides": snac.vq_strides,
            "codebook_size": snac.codebook_size,
        } | codec,
        "tokenizer": "tokenizer.json",
        "graphs": specs,
    }


def _files(folder: Path) -> list[dict[str, Any]]:
    return [_file(path) for path in sorted(folder.iterdir())]


def _file(path: Path) -> dict[str, Any]:
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        while piece := file.read(1 << 20):
            digest.update(piece)
    return {"name": path.name, "bytes": path.stat().st_size, "sha256": digest.hexdigest()}
