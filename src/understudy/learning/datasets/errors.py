"""What can go wrong while experience becomes training data.

Owns the errors that several modules of this room raise.
"""


class DatasetError(Exception):
    """A dataset cannot be built, read or trusted; the message is one sentence."""
