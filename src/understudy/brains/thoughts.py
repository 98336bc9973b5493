"""Leaves out what a model thinks before it speaks.

Reasoning models on compatible servers put `<think>…</think>` before their answer, in the same
stream. Spoken aloud it would be the strangest part of a stream. Servers that send thoughts in a
field of their own need none of this.
"""

_OPENING, _CLOSING = "<think>", "</think>"


class ThoughtCutter:
    """Feed it a reply piece by piece; it returns the pieces without a thought at the beginning."""

    def __init__(self) -> None:
        self._held = ""
        self._state = self._expect

    def feed(self, text: str) -> str:
        """What of `text`, and of what was held before, is meant to be heard."""
        return self._state(text)

    def finish(self) -> str:
        """The reply is over: what was held because it looked like the beginning of a thought."""
        held, self._held = self._held, ""
        return held if self._state == self._expect else ""

    def _expect(self, text: str) -> str:
        self._held += text
        start = self._held.lstrip()
        if start.startswith(_OPENING):
            self._held = ""
            self._state = self._think
            return self._think(start[len(_OPENING) :])
        if _OPENING.startswith(start):
            return ""
        held, self._held = self._held, ""
        self._state = self._speak
        return held

    def _think(self, text: str) -> str:
        self._held += text
        _, closed, answer = self._held.partition(_CLOSING)
        if not closed:
            # Only what may be the beginning of the end is needed further.
            self._held = self._held[1 - len(_CLOSING) :]
            return ""
        self._held = ""
        self._state = self._begin
        return self._begin(answer)

    def _begin(self, text: str) -> str:
        """Between the thought and the answer are blank lines."""
        text = text.lstrip()
        if text:
            self._state = self._speak
        return text

    def _speak(self, text: str) -> str:
        return text
