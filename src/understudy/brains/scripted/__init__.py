"""The brain that is always there: ready-made lines, no key, no GPU, no network."""

from understudy.brains.scripted.brain import FormerAnswer, Recall, ScriptedBrain

__all__ = ["FormerAnswer", "Recall", "ScriptedBrain"]
