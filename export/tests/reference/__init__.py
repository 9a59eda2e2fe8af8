"""Mini-Omni in plain torch, written on its own from the published facts.

What the exporter and the runtime are held against: it shares no code with either, reads the
published checkpoint files with torch's own loader, and takes none of the runtime's shortcuts (every
batch row goes through the whole prompt, every row through every head).

    audio.py     pcm -> log-mel -> Whisper encoder -> adapter
    model.py     the language model with its key/value cache
    generate.py  the six tasks: prompt, loop, feedback, delay
    snac.py      codes <-> pcm
"""

from .audio import AudioEncoder, log_mel, n_features, read_wav
from .generate import TASKS, Answer, Question, frames_of, generate
from .model import Decoder, Ids
from .snac import Snac

__all__ = [
    "TASKS", "Answer", "AudioEncoder", "Decoder", "Ids", "Question", "Snac", "frames_of",
    "generate", "log_mel", "n_features", "read_wav",
]
