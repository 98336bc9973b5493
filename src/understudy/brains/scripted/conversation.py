"""What the scripted brain keeps in mind of a conversation, and of how many.

Owns the memory that prevents repetition. Nothing of it is stored; it is bounded and forgets the
conversation that has been quiet longest.
"""

import random
import re
from collections import OrderedDict, deque
from collections.abc import Iterable

WINDOW = 20
"""Answers within which nothing is said twice."""
KEPT = 1_000
"""Conversations kept in mind."""
SEEN_VIEWERS = 200
"""Viewers of one conversation that are kept in mind."""

_TAG = re.compile(r"\[[^\[\]]*\]")


def bare(text: str) -> str:
    """`text` as it is compared: without emotion tags, case and extra spaces."""
    return " ".join(_TAG.sub(" ", text).casefold().split())


class Conversation:
    """The recent past of one conversation, and its own source of chance."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.intent = ""
        self.asked = False
        """Whether the last answer ended with a question."""
        self.answers = 0
        self._recent: deque[str] = deque(maxlen=WINDOW)
        self._said_at: dict[str, int] = {}
        self._viewers: OrderedDict[str, None] = OrderedDict()
        self._last_named = -2

    def is_fresh(self, text: str) -> bool:
        """Whether `text` is not among the last 20 answers."""
        return bare(text) not in self._recent

    def remember(self, text: str, intent: str) -> None:
        """Take note of an answer that is given now."""
        spoken = bare(text)
        self._recent.append(spoken)
        self.intent = intent
        self.asked = spoken.endswith("?")
        self.answers += 1

    def recall_answers(self, texts: Iterable[str]) -> None:
        """Take note of answers given before this process knew the conversation."""
        self._recent.extend(bare(text) for text in texts)

    def line_age(self, line: str) -> int:
        """A number that is higher the later `line` was used; -1 for one not used yet."""
        return self._said_at.get(line, -1)

    def use_line(self, line: str) -> None:
        """Take note that `line` is used for the answer under way."""
        self._said_at[line] = self.answers

    def meet(self, viewer: str) -> bool:
        """Take note of `viewer`; says whether they wrote before."""
        known = viewer in self._viewers
        self._viewers[viewer] = None
        self._viewers.move_to_end(viewer)
        if len(self._viewers) > SEEN_VIEWERS:
            self._viewers.popitem(last=False)
        return known

    def may_name(self) -> bool:
        """Whether the viewer can be named now: not twice in a row."""
        return self.answers - self._last_named >= 2

    def named(self) -> None:
        """Take note that the answer under way names the viewer."""
        self._last_named = self.answers


class Conversations:
    """The conversations in mind, the quietest forgotten first."""

    def __init__(self, seed: int, kept: int = KEPT) -> None:
        self._seed = seed
        self._kept = kept
        self._by_key: OrderedDict[str, Conversation] = OrderedDict()

    def get(self, key: str, former_answers: Iterable[str] = ()) -> Conversation:
        """The conversation `key`; a new one begins with `former_answers` in mind."""
        conversation = self._by_key.get(key)
        if conversation is None:
            # A string seeds `Random` through SHA-512, so it is the same in every process.
            conversation = Conversation(random.Random(f"{self._seed}:{key}"))
            conversation.recall_answers(former_answers)
            self._by_key[key] = conversation
            if len(self._by_key) > self._kept:
                self._by_key.popitem(last=False)
        self._by_key.move_to_end(key)
        return conversation
