"""The limits of the gates, with their defaults."""

import msgspec


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What a version must keep to. Shares are 0 to 1, losses nats per token of the reply."""

    train_rows: int = 300
    """Fewest rows to train on: with less, liked replies as examples do better."""
    held_out_rows: int = 30
    """Fewest held-out rows of the new time."""
    left_out: float = 0.05
    """Largest share of rows that could not be learned from, such as those that are too long."""
    sessions: int = 3
    """Fewest sessions in a comparison of losses: rows of one session are not independent."""
    forgotten_nats: float = 0.02
    """How much the loss on older and anchor rows may rise."""
    forgotten_share: float = 0.02
    """The same as a share of the loss before; both limits hold."""
    copied_words: int = 12
    """From this many words on, a run that stands in a training reply counts as copied."""
    common_rows: int = 3
    """A run that stands in this many training replies is a turn of phrase and no copy."""
    drift: float = 0.3
    """How far length and variety may leave the range between live version and held-out replies."""
    preferences: int = 30
    """Fewest blind comparisons that say anything."""
    preferred: float = 0.45
    """What the lower bound of the share of wins must reach."""
