"""Text from tokens, piece by piece: no half characters, no lost spaces, cut at stop strings.

Owns the streaming side of decoding. Knows no tokenizer, only its `decode`.
"""

from collections.abc import Callable, Sequence

HALF = "\ufffd"
"""What decoders write for bytes that are no character yet."""


class Detokenizer:
    """Turns tokens into text as they come.

    A token's text depends on the ones before it (spaces, characters of several tokens), so what
    is new is the difference of two decodings that begin with the piece before.
    """

    def __init__(self, decode: Callable[[list[int]], str]) -> None:
        self._decode = decode
        self._tokens: list[int] = []
        self._known = 0
        self._shown = ""

    def push(self, token: int) -> str:
        """The text that `token` completes; empty while a character is not whole."""
        self._tokens.append(token)
        text = self._decode(self._tokens)
        if text.endswith(HALF) or len(text) <= len(self._shown):
            return ""
        return self._advance(text)

    def flush(self) -> str:
        """The rest at the end of a reply, without a character that stayed incomplete."""
        if self._known == len(self._tokens):
            return ""
        return self._advance(self._decode(self._tokens).rstrip(HALF))

    def _advance(self, text: str) -> str:
        new = text[len(self._shown) :]
        del self._tokens[: self._known]
        self._known = len(self._tokens)
        self._shown = self._decode(self._tokens)
        return new


class StopCutter:
    """Cuts a text before the stop string that is first complete, also one that comes in pieces."""

    def __init__(self, stops: Sequence[str]) -> None:
        self._stops = [stop for stop in stops if stop]
        self._held: str = ""
        self.stopped = False
        """Whether a stop string was met; nothing is let through after it."""

    def push(self, text: str) -> str:
        """What of the text so far can no longer become part of a stop string."""
        if self.stopped:
            return ""
        text = self._held + text
        # The one that is complete first counts, so that the cut does not depend on the pieces.
        found = [
            (place + len(stop), place) for stop in self._stops if (place := text.find(stop)) >= 0
        ]
        if found:
            self.stopped, self._held = True, ""
            return text[: min(found)[1]]
        keep = max((_overlap(text, stop) for stop in self._stops), default=0)
        self._held = text[len(text) - keep :]
        return text[: len(text) - keep]

    def flush(self) -> str:
        """What was held back and turned out to be no stop string."""
        held, self._held = self._held, ""
        return held


def _overlap(text: str, stop: str) -> int:
    """How many characters at the end of `text` may be the beginning of `stop`."""
    longest = min(len(text), len(stop) - 1)
    return next((size for size in range(longest, 0, -1) if text.endswith(stop[:size])), 0)
