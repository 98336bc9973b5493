"""From a message to what it is about.

Owns preparing a message, recognising its intent, and the choice of pools and facts for the
answer, follow-ups included. Does not own the wording (`composer`) nor the patterns (`library`).
"""

import random
import re
import unicodedata

import msgspec

from understudy.brains.base import BrainRequest
from understudy.brains.scripted.conversation import Conversation
from understudy.brains.scripted.facts import stream_facts
from understudy.brains.scripted.library import Intent, Library
from understudy.brains.scripted.words import Words

LONGEST = 400
"""Characters of a message that are looked at."""
SHORT = 5
"""Most words of an answer to a question of ours."""
LONG_GREETING = 6
"""Words from which a message that begins with a greeting is about something else."""
NAME_CHANCE = 0.5
FIRST_NAME_CHANCE = 0.8
"""Chances that the viewer's name may be used; about half of the lines have a place for it."""

_STRETCHED = re.compile(r"([^\W\d_])\1{2,}")
_MENTION = re.compile(r"^(?:@\w+[\s,:!]*)+|(?:[\s,]*@\w+)+$")
_UP_TO = re.compile(r"\bd ?(\d{1,4})\b|\b1 ?(?:-|to|and|through) ?(\d{1,4})\b")
_HELLO = re.compile(r"^\W*(?:hi+|hello+|hey+|heya|hiya|howdy|yo+|good (?:morning|evening))\b")
_GREETINGS = frozenset({"greeting", "goodbye", "meet", "first_time", "returned", "how_are_you"})


class Plan(msgspec.Struct, frozen=True):
    """How to answer: the intent, the pools to take a line from in order, and the known facts."""

    intent: str
    pools: list[str]
    slots: dict[str, str]
    greet: bool = False
    """Whether a short hello goes before the answer."""


def prepare(text: str, cohost: str) -> str:
    """`text` as patterns see it: lower case, no mentions, the co-host's name cut off its ends."""
    text = unicodedata.normalize("NFKC", text[:LONGEST]).lower().replace("\u2019", "'")
    text = _STRETCHED.sub(r"\1\1", " ".join(text.split()))
    text = _MENTION.sub("", text)
    name = re.escape(cohost.lower()) or "understudy"
    text = re.sub(rf"^(?:{name}|cohost|co-host)\b[\s,:!.]*(?=\S)", "", text)
    return re.sub(rf"(?<=\S)[\s,]+(?:{name}|cohost|co-host)\b(?=[\s?!.]*$)", "", text).strip()


def recognise(intents: tuple[Intent, ...], prepared: str) -> Intent | None:
    """The first intent that matches, or None when the message is about something else."""
    found = next((intent for intent in intents if intent.matches(prepared)), None)
    if found and found.name == "greeting" and len(prepared.split()) >= LONG_GREETING:
        return None
    return found


class Planner:
    """Plans answers to one message after the other."""

    def __init__(self, library: Library) -> None:
        self._library = library
        self._again = frozenset(intent.name for intent in library.intents if intent.again)

    def plan(
        self, request: BrainRequest, prepared: str, intent: Intent | None, talk: Conversation
    ) -> Plan:
        """How to answer the message, given what was said before."""
        name = self._resolve(intent, talk)
        viewer = self._library.words.address(request.viewer)
        known = talk.meet(request.viewer) if request.viewer else talk.answers > 0
        slots = self._slots(request, prepared, name, talk.rng)
        pools = self._pools(name, prepared, slots, known, talk)
        greet = not known and name not in _GREETINGS and _HELLO.search(prepared) is not None
        chance = NAME_CHANCE if known else FIRST_NAME_CHANCE
        if viewer and talk.may_name() and talk.rng.random() < chance:
            slots["viewer"] = viewer
        return Plan(intent=name, pools=pools, slots=slots, greet=greet)

    def _resolve(self, intent: Intent | None, talk: Conversation) -> str:
        """The intent's name; one more of the last kind when that is asked for."""
        if intent is None:
            return "fallback"
        if intent.name == "more" and talk.intent in self._again:
            return talk.intent
        return intent.name

    def _slots(
        self, request: BrainRequest, prepared: str, intent: str, rng: random.Random
    ) -> dict[str, str]:
        words = self._library.words
        slots = common_slots(request)
        if intent == "either_or" and (options := words.options(prepared)):
            slots["option"] = rng.choice(options)
        elif intent == "roll":
            slots["number"] = str(rng.randint(1, _sides(prepared)))
        elif intent == "coin":
            slots["side"] = rng.choice(("heads", "tails"))
        elif intent in {"ask_game", "ask_schedule"}:
            slots |= _clean_facts(request.system_prompt, words)
        if topic := words.topic(request.text[:LONGEST]):
            slots["topic"] = topic
        return slots

    def _pools(
        self, intent: str, prepared: str, slots: dict[str, str], known: bool, talk: Conversation
    ) -> list[str]:
        """The pools for an intent, the best one first."""
        pools = {
            "greeting": ["greeting_again"] if known else ["greeting"],
            "remember_me": ["remember_me_known"] if known else ["remember_me"],
            "ask_game": ["ask_game_known"] if "game" in slots else ["ask_game"],
            "ask_schedule": ["ask_schedule_known"] if "schedule" in slots else ["ask_schedule"],
            "either_or": ["either_or"] if "option" in slots else ["either_or_none"],
            "why": [f"why_{talk.intent}", "why"],
        }
        if intent == "fallback":
            return self._fallback(prepared, slots, talk)
        return pools.get(intent, [intent])

    def _fallback(self, prepared: str, slots: dict[str, str], talk: Conversation) -> list[str]:
        if talk.asked and 0 < len(prepared.split()) <= SHORT:
            return ["answered"]
        if "topic" in slots and talk.rng.random() < 0.6:
            return ["fallback_topic", "fallback"]
        return ["fallback"]


def common_slots(request: BrainRequest) -> dict[str, str]:
    """The facts every line may use."""
    slots = {"cohost": request.cohost, "streamer": request.streamer or "the streamer"}
    if request.streamer:
        slots["streamer_name"] = request.streamer
    return slots


def _clean_facts(system_prompt: str, words: Words) -> dict[str, str]:
    facts = stream_facts(system_prompt)
    return {name: value for name, value in facts.items() if words.clean(value)}


def _sides(prepared: str) -> int:
    """How many sides the die has: what the message says, 2 to 1,000, else 6 or 100."""
    match = _UP_TO.search(prepared)
    if match:
        return min(max(int(match[1] or match[2]), 2), 1_000)
    return 100 if "number" in prepared else 6
