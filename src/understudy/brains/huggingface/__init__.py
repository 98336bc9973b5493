"""A language model inside this process: transformers, with LoRA versions that come and go.

Owns everything between a `BrainRequest` and the weights: loading, the chat template, batching,
sampling, text from tokens, versions. Does not own training or which version is live (`learning`).
"""

from understudy.brains.huggingface.brain import HuggingFaceBrain, make_huggingface
from understudy.storage.rows import BASE

__all__ = ["BASE", "HuggingFaceBrain", "make_huggingface"]
