"""The graphs of a model folder run with onnxruntime alone: what the runtime does, for tests."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import onnx
import onnx.inliner
from numpy.typing import NDArray
from runtime import onnxruntime

STREAMS = 8
HIDDEN = -1e9  # attention bias of a position that must not be seen
UNKNOWN_FRAMES = 2**31
MARKS = {  # of each batch row: the prompt's last ids, audio and text
    "a1a2-batch": [("answer_a", "answer_t"), ("pad_a", "answer_t")],
    "a1a2": [("answer_a", "answer_t")],
    "a1t2": [("pad_a", "answer_t")],
    "a1t1": [("pad_a", "asr")],
    "t1a2": [("answer_a", "answer_t")],
    "t1t2": [("pad_a", "answer_t")],
}


def prompt(task: str, ids: dict[str, int], n_features: int, text_ids: list[int]) -> NDArray:
    """Ids [rows, 8, columns] for `n_features` audio features, or for `text_ids` without any."""
    if n_features:
        audio = [ids["input_a"], *[ids["pad_a"]] * n_features, ids["eoa"]]
        text = [ids["input_t"], *[ids["pad_t"]] * n_features, ids["eot"]]
    else:
        text = [ids["input_t"], *text_ids, ids["eot"]]
        audio = [ids["pad_a"]] * len(text)
    rows = [
        [[*audio, ids[mark_a]]] * (STREAMS - 1) + [[*text, ids[mark_t]]]
        for mark_a, mark_t in MARKS[task]
    ]
    return np.array(rows, np.int64)


def full_window(n: int) -> dict[str, NDArray]:
    """What an encoder with a merged window is told of n positions, none of them left out."""
    return {"rows": np.arange(n), "kept": np.arange(n), "log_counts": np.zeros(n, np.float32)}


class ModelFolder:
    """The graphs of an exported model, opened when first used."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.manifest = json.loads((folder / "manifest.json").read_text())
        self.ids = self.manifest["ids"]
        self.sessions: dict[str, onnxruntime.InferenceSession] = {}

    def run(self, name: str, inputs: dict[str, NDArray]) -> dict[str, NDArray]:
        """One pass of a graph, outputs by name."""
        if name not in self.sessions:
            options = onnxruntime.SessionOptions()
            options.log_severity_level = 3
            self.sessions[name] = onnxruntime.InferenceSession(
                self.folder / f"{name}.onnx", options, providers=["CPUExecutionProvider"]
            )
        session = self.sessions[name]
        outputs = session.run(None, inputs)
        return {spec.name: value for spec, value in zip(session.get_outputs(), outputs)}

    def features(self, mel: NDArray, n: int) -> NDArray:
        """mel [n_mels, frames] -> audio features [n, n_embd]."""
        inputs = {"mel": mel[None], "n_features": np.array([n])}
        if "merged_window" in self.manifest:
            inputs |= full_window(mel.shape[1] // self.manifest["mel"]["frames_per_feature"])
        return self.run("encoder", inputs)["audio_features"]

    def decoding(self, rows: int, capacity: int) -> Decoding:
        """A new key/value cache for `rows` and at most `capacity` columns."""
        return Decoding(self, rows, capacity)

    def pcm(
        self, frames: NDArray, stride: int | None = None, noise: list[NDArray] | None = None
    ) -> NDArray:
        """frames [n, 7] -> pcm [n x samples a frame], `stride` frames a call, all at once without;
        `noise`: one [positions] a block, zeros without."""
        n, codec = len(frames), self.manifest["codec"]
        flush = -(-codec["delay_samples"] // codec["samples_per_frame"])
        padded = np.concatenate([frames, np.zeros((flush, frames.shape[1]), np.int64)])
        specs = self.manifest["graphs"]["codec_decoder"]["inputs"]
        state = {s["name"]: np.zeros(s["shape"], np.float32) for s in specs if "past_" in s["name"]}
        cuts = [0, n + flush] if stride is None else [*range(0, n, stride), n, n + flush]
        pieces = []
        for start, end in zip(cuts, cuts[1:]):
            clip = n if end > n else UNKNOWN_FRAMES  # the clip's end is known at its end
            inputs = state | self._codes(padded[start:end]) | self._noise(noise, start, end)
            inputs |= {"frames_before": np.array([start]), "clip_frames": np.array([clip])}
            outputs = self.run("codec_decoder", inputs)
            pieces.append(outputs.pop("pcm")[0])
            state = {name.replace("present", "past"): value for name, value in outputs.items()}
        late = codec["delay_samples"]
        return np.concatenate(pieces)[late : late + n * codec["samples_per_frame"]]

    def _codes(self, frames: NDArray) -> dict[str, NDArray]:
        levels = np.array(self.manifest["codec"]["levels"])
        return {
            f"codes_{level}": frames[:, levels == level].reshape(1, -1)
            for level in range(levels.max() + 1)
        }

    def _noise(self, noise: list[NDArray] | None, start: int, end: int) -> dict[str, NDArray]:
        """Noise by its absolute position; none before the clip or behind it."""
        drawn = {}
        for block, spec in enumerate(self.manifest["codec"]["noise"]):
            rate = spec["per_frame"]
            at = np.arange(start * rate, end * rate) - spec["delay"]
            whole = noise[block] if noise else np.zeros(1, np.float32)
            inside = (at >= 0) & (at < len(whole))
            values = np.where(inside, whole[at.clip(0, len(whole) - 1)], 0)
            drawn[f"noise_{block}"] = values[None, None].astype(np.float32)
        return drawn


class Decoding:
    """The decoder with its cache, any profile."""

    def __init__(self, model: ModelFolder, rows: int, capacity: int) -> None:
        self.model, self.rows, self.position = model, rows, 0
        dims = model.manifest["decoder"]
        self.shared = dims["kv_cache"] == "shared"
        # a cache that grows starts with one hidden column, so that it is never empty
        shape = (rows, dims["n_kv_head"], capacity if self.shared else 1, dims["head_size"])
        self.cache = {
            f"past_key_values.{layer}.{kind}": np.zeros(shape, dims.get("cache_dtype", "float32"))
            for layer in range(dims["n_layer"]) for kind in ("key", "value")
        }

    def __call__(self, ids: NDArray, features: NDArray | None = None) -> tuple[NDArray, NDArray]:
        """ids [rows, 8, n] -> text logits [rows, vocab], audio logits [rows, 7, vocab] of the last
        column; `features` [f, n_embd] stand in for the audio of columns 1..f."""
        rows, _, n = ids.shape
        replaced = np.zeros((rows, n, self.model.manifest["decoder"]["n_embd"]), np.float32)
        mask = np.zeros((rows, n, 1), np.float32)
        if features is not None:
            replaced[:, 1 : 1 + len(features)] = features
            mask[:, 1 : 1 + len(features)] = 1
        inputs = {
            "ids": ids, "audio_features": replaced, "audio_feature_mask": mask,
            "text_rows": np.arange(rows), "audio_rows": np.arange(rows),
        }
        outputs = self.model.run("decoder", inputs | self.cache | self._where(n))
        self.position += n
        self.cache = {name: outputs[name.replace("past_key_values", "present")]
                      for name in self.cache}
        return outputs["text_logits"], outputs["audio_logits"]

    def _where(self, n: int) -> dict[str, NDArray]:
        """The inputs that tell each profile where these columns stand."""
        total = self.position + n
        if self.shared:
            last = np.full(self.rows, total - 1, np.int32)
            return {"seqlens_k": last, "total_sequence_length": np.array(total, np.int32)}
        columns = np.arange(self.position, total)
        future = np.arange(total)[None] > columns[:, None]
        bias = np.pad(np.where(future, HIDDEN, 0), ((0, 0), (1, 0)), constant_values=HIDDEN)
        bias = np.broadcast_to(bias, (self.rows, 1, *bias.shape)).astype(np.float32)
        return {"position_ids": np.tile(columns, (self.rows, 1)), "attention_bias": bias}


def domains(model: onnx.ModelProto) -> set[str]:
    """Of all operators once the own functions are inlined, those inside branches as well."""
    return _domains(onnx.inliner.inline_local_functions(model).graph)


def _domains(graph: onnx.GraphProto) -> set[str]:
    inner = [a.g for node in graph.node for a in node.attribute if a.HasField("g")]
    return {node.domain for node in graph.node}.union(*map(_domains, inner))
