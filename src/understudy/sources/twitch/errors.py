"""What can go wrong with Twitch, one sentence each.

Owns the kinds of errors. Does not own their wording, which is where they are raised.
"""


class TwitchError(Exception):
    """Twitch cannot do what was asked; the message is one sentence."""


class NotLoggedIn(TwitchError):
    """There is no login, or it is over for good: somebody has to log in again."""


class LoginFailed(TwitchError):
    """A login that was begun was not completed: the code expired or was turned down."""


class MissingScope(TwitchError):
    """The login does not allow this."""


class TokenFileError(TwitchError):
    """The login cannot be read from the disk or written to it."""


class Unreachable(TwitchError):
    """Twitch cannot be reached or has a fault, also after several attempts."""


class RateLimited(TwitchError):
    """Twitch wants to be left alone for longer than is waited here."""


class NotSent(TwitchError):
    """A chat message was held back, dropped or not shown."""


class Refused(TwitchError):
    """Twitch does not accept the request; `status` is its HTTP status, `said` its own words."""

    def __init__(self, message: str, status: int, said: str = "") -> None:
        super().__init__(message)
        self.status = status
        self.said = said
