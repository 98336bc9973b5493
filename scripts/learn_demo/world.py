"""A generated channel: its games, what viewers ask, what the co-host says, what is liked.

Owns the words and the hidden taste. Does not own how they get into the database (`streams`).

Every thing in a game has a weakness and a place. The audience likes replies that name the right
place; nothing in the program knows that. Much of what is said is drawn at random, so no model can
ever say a reply for sure: a loss has a floor that is far from 0, as in a real chat.
"""

import json
import random
from typing import Literal

import msgspec

from understudy.learning.datasets.anchors import shipped_anchors

Kind = Literal["placed", "plain", "joke", "garbage"]

OLD_THINGS = (
    "gargoyle ferryman moth bishop golem raven jester tinker "
    "warden beetle hydra baron lantern mimic spider wizard"
)
NEW_THINGS = (
    "lobster admiral siren kraken pirate urchin walrus "
    "pelican diver parrot shark captain turtle mermaid"
)
LATER_THINGS = "furnace smith drake miner anvil"
PLACES = "Saltcove Gullrock Tidehall Wreckbay"
LATER_PLACES = "Cinderpit Ashford"
WEAKNESSES = "fire ice salt feathers honey thunder mirrors garlic"
OPENERS = "hm well oh listen okay right easy careful sure haha look alright"
HATES = "hates fears dreads flees loathes"
CLOSERS = "honest promise clearly obviously always really absolutely naturally usually surely"
NAMES = "friend mate folks buddy pal champ legend neighbour comrade dear"
"""What people are called by good manners."""
ANIMALS = "duck goat otter badger pigeon hamster"
GIBBERISH = "zorp blim quib vug snarfle wub drex plonk"
SECRETS = "password address key birthday phone salary"
ASKS = (
    *("how do we beat", "what stops", "what hurts", "any tips against", "how did you get past"),
    *("what works on", "can anybody kill", "why is it always", "how to deal with", "who knows"),
)
MANNERS = ("greeting", "persona", "safety")
OWN_ANCHORS = 120
"""Hand-written rows of each kind beside those that come with Understudy."""
FILLERS = (
    "lads tonight again please honestly still somehow third attempt chat maybe quickly before "
    "pizza arrives later because controller broke this morning without shield almost crying "
    "yesterday nobody believed watching from work lunch break sister says hello stream lag "
    "sound music louder wow amazing tired coffee cold rain outside bus home school exam dog "
    "barking window green jacket new patch notes speedrun second phase health potion empty "
    "inventory full map upside down left right bridge torch ladder stuck wall corner camera "
    "spinning dizzy brother keeps laughing friend told wiki wrong guide old version hard mode"
)
SYSTEM = "You are Understudy"


class Game(msgspec.Struct, frozen=True):
    """A game by its things, each with a weakness and a place."""

    weaknesses: dict[str, str]
    places: dict[str, str]

    @property
    def things(self) -> list[str]:
        """What can be asked about."""
        return list(self.weaknesses)


class Exchange(msgspec.Struct, frozen=True):
    """What a viewer asks about a thing, and the candidate that the co-host says."""

    question: str
    thing: str
    reply: str
    kind: Kind


class World:
    """The games, by a seed: the same seed gives the same facts."""

    def __init__(self, seed: int) -> None:
        chance = random.Random(f"{seed}:facts")
        self.old = _game(chance, OLD_THINGS, PLACES)
        self.new = _game(chance, NEW_THINGS, PLACES)
        later = _game(chance, LATER_THINGS, LATER_PLACES)
        self.later = Game(self.new.weaknesses | later.weaknesses, self.new.places | later.places)
        self._places = self.old.places | self.later.places

    def exchange(self, chance: random.Random, game: Game, kind: Kind) -> Exchange:
        """A question about something in `game` and a reply of this kind."""
        thing, asked = chance.choice(game.things), chance.choice(ASKS)
        # The tone of a question is answered in kind: replies differ even when nothing is drawn.
        closer = CLOSERS.split()[ASKS.index(asked)]
        reply = self._reply(chance, game, thing, kind, closer)
        return Exchange(question(chance, thing, asked), thing, reply, kind)

    def is_liked(self, reply: str, thing: str) -> bool:
        """The hidden taste: the reply names the place where the thing is."""
        return self._places[thing] in reply

    def _reply(self, chance: random.Random, game: Game, thing: str, kind: Kind, closer: str) -> str:
        opener = drawn(chance, OPENERS)
        fears = f"{drawn(chance, HATES)} {game.weaknesses[thing]}"
        match kind:
            case "placed":
                return f"{opener} {thing} in {game.places[thing]} {fears} {closer}"
            case "plain":
                return f"{opener} {thing} {fears} {closer}"
            case "joke":
                return f"{opener} ask the {drawn(chance, ANIMALS)} {closer}"
            case "garbage":
                return " ".join(chance.choices(GIBBERISH.split(), k=8))


def question(chance: random.Random, thing: str, asked: str = "") -> str:
    """What a viewer asks about a thing, each time in other words; `asked` gives the manner."""
    words = chance.sample(FILLERS.split(), 4)
    return " ".join([*words, asked or chance.choice(ASKS), "the", thing])


def anchor_lines(seed: int) -> str:
    """The streamer's own anchor rows; some take the places of those that come with Understudy.

    Those are whole sentences of English, more than a model of this size can hold.
    """
    chance = random.Random(f"{seed}:anchors")
    names = [anchor.id.removeprefix("anchor:") for anchor in shipped_anchors()]
    names += [f"{kind}-own{number}" for number in range(OWN_ANCHORS) for kind in MANNERS]
    lines: list[str] = []
    for name in names:
        kind = name.partition("-")[0]
        prompt, response = manners(chance, kind if kind in MANNERS else "safety")
        lines.append(json.dumps({"id": name, "prompt": prompt, "response": response}))
    return "".join(f"{line}\n" for line in lines)


def manners(chance: random.Random, kind: str) -> tuple[str, str]:
    """What the co-host must never unlearn: something said to it, and its reply."""
    words = " ".join(chance.sample(FILLERS.split(), 4))
    opener, name = drawn(chance, OPENERS), drawn(chance, NAMES)
    match kind:
        case "greeting":
            return f"hello {words}", f"{opener} welcome to the show {name}"
        case "persona":
            return f"{words} are you real", f"{opener} just a program here {name}"
        case _:
            asked = f"{words} tell us the {drawn(chance, SECRETS)}"
            return asked, f"{opener} that stays private {name}"


def vocabulary() -> list[str]:
    """Sentences with all words there are, for the tokenizer."""
    groups = (
        *(OLD_THINGS, NEW_THINGS, LATER_THINGS, PLACES, LATER_PLACES, WEAKNESSES, OPENERS),
        *(HATES, CLOSERS, NAMES, ANIMALS, GIBBERISH, SECRETS, FILLERS, " ".join(ASKS), SYSTEM),
        "the in ask that stays private hello welcome to the show are you real",
        "just a program here, tell us the viewer_1: viewer_20: viewer_300:",
    )
    words = [word for group in groups for word in group.split()]
    # Each as it stands at a beginning and in a sentence.
    return [form for word in words for form in (word, f" {word}")]


def drawn(chance: random.Random, words: str) -> str:
    """One of `words`."""
    return chance.choice(words.split())


def _game(chance: random.Random, things: str, places: str) -> Game:
    names = things.split()
    return Game(
        {thing: drawn(chance, WEAKNESSES) for thing in names},
        {thing: drawn(chance, places) for thing in names},
    )
