"""One round of llama.cpp in a process of its own, as JSON on standard output:

    python llama_run.py MODEL.gguf PROMPT_LENGTH STEPS THREADS
"""

from __future__ import annotations

import json
import sys
import time

import llama_cpp

TOKEN = 7  # any: time does not depend on which


def main(model: str, prompt_length: int, steps: int, threads: int) -> None:
    """Reads a prompt to its last logits, then single tokens; once to warm up, once timed."""
    llama = llama_cpp.Llama(
        model, n_ctx=prompt_length + steps, n_batch=prompt_length, n_ubatch=prompt_length,
        n_threads=threads, n_threads_batch=threads, verbose=False,
    )
    for _ in range(2):
        llama.reset()
        prefill_ms = timed(llama, [TOKEN] * prompt_length)
        steps_ms = [timed(llama, [TOKEN]) for _ in range(steps)]
    json.dump({
        "prefill_ms": prefill_ms, "steps_ms": steps_ms, "version": llama_cpp.__version__,
        "system": llama_cpp.llama_print_system_info().decode(),
    }, sys.stdout)


def timed(llama: llama_cpp.Llama, tokens: list[int]) -> float:
    """Milliseconds until the logits of the last token are there."""
    began = time.perf_counter()
    llama.eval(tokens)
    return 1e3 * (time.perf_counter() - began)


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
