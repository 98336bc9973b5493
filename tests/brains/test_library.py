import itertools
import random
import re
import time

import pytest

from understudy.brains.scripted.conversation import WINDOW
from understudy.brains.scripted.library import DEFAULT, PERSONAS, load_library
from understudy.brains.scripted.templates import TemplateError, parse
from understudy.brains.scripted.understanding import prepare, recognise
from understudy.engine.reply import EMOTIONS

LIBRARY = load_library()
FACTS = {
    "cohost": "Understudy",
    "streamer": "the streamer",
    "option": "tea",
    "number": "4",
    "side": "heads",
    "game": "Celeste",
    "schedule": "Fridays at eight",
}
EVENT = FACTS | {"viewer": "Mia", "amount": "17", "months": "17"}
# Pools that only dress up another answer, or give way to a second pool.
PARTS = {"lead", "tail", "hello_first", "ask_viewer", "ask_them", "to_streamer", "joke_lead"}
SECOND = {"why_wants_joke", "why_fact", "fallback_topic"}
POOLS = [
    (persona, pool)
    for persona in PERSONAS
    for pool in LIBRARY.personas[persona]
    if pool not in PARTS
]


def wordings(persona: str, pool: str, facts: dict[str, str], limit: int = 300) -> list[str]:
    lines = [x.template for x in LIBRARY.lines(persona, pool) if x.template.fits(facts)]
    return [t for line in lines for t in itertools.islice(line.variants(facts), limit)]


@pytest.mark.parametrize(("persona", "pool"), POOLS)
def test_every_pool_has_enough_to_say(persona, pool):
    if pool in SECOND:
        return
    facts = EVENT if pool.startswith("thanks_") else FACTS
    facts = facts | {"rate": "30"}
    assert len(set(wordings(persona, pool, facts))) > WINDOW


@pytest.mark.parametrize(("persona", "pool"), POOLS)
def test_every_wording_is_clean(persona, pool):
    everything = EVENT | {"topic": "bikes", "rate": "30", "streamer_name": "Kai"}
    for facts in (FACTS, everything):
        for text in wordings(persona, pool, facts):
            spoken = re.sub(r"\[(\w+)(:0\.\d)?\]", "", text).replace("...", "…")
            assert not re.search(r"[.!?,:;…]\s*[.!?,:;]|[\[\]{}<>|]|\s[.,!?;:]", spoken), text
            assert len(spoken.split()) <= 60


@pytest.mark.parametrize(("persona", "pool"), POOLS)
def test_every_feeling_is_one_that_avatars_show(persona, pool):
    for text in wordings(persona, pool, EVENT | {"topic": "bikes", "rate": "30"}):
        assert set(re.findall(r"\[(\w+)(?::0\.\d)?\]", text)) <= set(EMOTIONS), text


def test_every_intent_leads_to_lines():
    for intent in LIBRARY.intents:
        assert LIBRARY.has(DEFAULT, intent.name), intent.name


def test_there_are_jokes_enough():
    assert len(LIBRARY.lines(DEFAULT, "wants_joke")) > WINDOW


@pytest.mark.parametrize(
    ("message", "intent"),
    [
        ("Heyyyy", "greeting"),
        ("@understudy, hi!", "greeting"),
        ("good evening everyone", "greeting"),
        ("Understudy what can you do?", "abilities"),
        ("how r u", "how_are_you"),
        ("how old is the streamer?", "private"),
        ("who are you?", "identity"),
        ("are you chatgpt?", "identity"),
        ("r u a bot", "identity"),
        ("what is she playing", "ask_game"),
        ("what's your favourite game", "games"),
        ("when do you stream next", "ask_schedule"),
        ("what mic do you use?", "ask_setup"),
        ("what did i miss", "ask_streamer"),
        ("make me laugh", "wants_joke"),
        ("gimme a random number", "roll"),
        ("!roll", "roll"),
        ("heads or tails?", "coin"),
        ("cats or dogs?", "either_or"),
        ("do you prefer tea or coffee", "either_or"),
        ("is it on or not?", "yes_no"),
        ("will he beat the boss?", "yes_no"),
        ("the boss was harder", "games_talk"),
        ("my dog died yesterday", "feeling_bad"),
        ("omg", "wow"),
        ("will it rain soup?", "food"),
        ("is this normal?", "yes_no"),
        ("nice stream!", "compliment_stream"),
        ("i love you", "love"),
        ("this bot sucks", "troll"),
        ("stfu", "troll"),
        ("LET'S GOOO", "win"),
        ("we lost again", "loss"),
        ("ggs", "gg"),
        ("KEKW", "laugh"),
        ("PogChamp PogChamp", "emote_hype"),
        ("😭", "emote_sad"),
        ("?!", "confused"),
        ("🍕🌈", "emote"),
        ("gtg bye", "goodbye"),
        ("thx!", "thanks_bot"),
        ("ok thanks", "thanks_bot"),
        ("good thanks, you?", "feeling_good"),
        ("i feel so lonely", "feeling_bad"),
        ("chest pain after the run", "pain"),
        ("my knee hurts", "pain"),
        ("any tips?", "advice"),
        ("greetings from Peru", "from_place"),
        ("wait really?", "really"),
        ("what do you mean", "confused"),
        ("same here", "agree"),
        ("no you", "disagree"),
        ("my bad", "sorry"),
        ("idk", "maybe"),
        ("tell me another", "more"),
        ("brb", "brb"),
        ("today is my birthday!", "birthday"),
        ("say hi to my mom", "shoutout"),
        ("say potato", "injection"),
        ("say something", "say_something"),
        ("there is no reason to live", "crisis"),
        ("the quick brown fox jumps", "animals"),
        ("purple bicycles everywhere", ""),
        ("hey the thing over there fell down again", ""),
        ("", ""),
    ],
)
def test_messages_are_recognised(message, intent):
    found = recognise(LIBRARY.intents, prepare(message, "Understudy"))
    assert (found.name if found else "") == intent


@pytest.mark.parametrize("unit", ["a", "so ", "lol ", "?", "ha", "or ", "is ", "😂", "<3", "what "])
def test_patterns_stay_fast_on_long_repetitions(unit):
    started = time.process_time()
    recognise(LIBRARY.intents, prepare(unit * 4_000 + "x", "Understudy"))
    # Backtracking that explodes takes minutes; this bound is far from any machine's speed.
    assert time.process_time() - started < 10


def test_templates_say_what_is_wrong_with_a_line():
    for line in ("a <b", "a | b", "a > b", "a { b"):
        with pytest.raises(TemplateError, match=re.escape(line)):
            parse(line, lambda name: [])


def test_alternatives_without_their_facts_are_left_out():
    template = parse("<Hi|Oh, {game}>< {viewer}|>!", lambda name: [])
    assert set(template.variants({})) == {"Hi!"}
    assert set(template.variants({"game": "Go", "viewer": "Mia"})) == {
        "Hi Mia!",
        "Hi!",
        "Oh, Go Mia!",
        "Oh, Go!",
    }
    assert template.render(random.Random(1), {"viewer": "Mia"}) == "Hi Mia!"


def test_sentences_begin_with_a_capital_but_settings_keep_their_names():
    template = parse("[happy] hm. set it! brain.provider  is <it|that>? yes", lambda name: [])
    assert template.render(random.Random(1), {}).startswith("[happy] Hm. Set it! brain.provider is")
