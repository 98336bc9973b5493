"""Training: a dataset becomes a LoRA adapter, in a process of its own.

Owns the run folder and everything in it. Does not own what is trained on (`learning.datasets`) nor
whether the outcome is any good (`learning.gates`).

- `job` is what was asked and what came of it; `trainer` carries a job out; `process` starts it.
- `rows` → `encoding` → `packing` → `losses` → `loop` is the way of a row into the weights.
"""
