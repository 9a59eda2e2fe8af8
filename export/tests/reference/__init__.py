"""An independent plain-torch reference of Mini-Omni, to hold export and runtime against.

Written from the published checkpoints' layout and the facts of the model, not from the exporter or
the runtime, and it shares no code with them: where both agree, both are likely right. Slow and
plain on purpose: fp32, greedy, the whole batch is prefilled, every head is computed at every step.

    whisper.py  pcm -> mel -> audio features      snac.py   codes <-> pcm
    decoder.py  ids and features -> logits        answer.py the six tasks, one loop
"""
