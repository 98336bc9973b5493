"""What can go wrong in the mood room, in one sentence each.

Owns the types. Does not own what happens then.
"""


class MoodError(Exception):
    """A mood file, label file or model cannot be used; one sentence: what is wrong, what to do."""
