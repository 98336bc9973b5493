"""What can go wrong with versions: registering, judging, deploying and serving them."""


class VersionError(Exception):
    """Something cannot be done with a version; the message is one sentence."""
