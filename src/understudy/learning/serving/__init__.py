"""Trained versions where replies are made: in this process, in vLLM, in Ollama.

Owns loading and unloading. Does not own which versions are needed (`learning.rollout`) nor asking
for a reply (`brains`).
"""
