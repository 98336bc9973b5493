"""The show in its order: an old week, a good week, an attack, another good week, a way back.

Owns what happens when. Does not own the steps nor the goals (`figures`).
"""

import random
from pathlib import Path

from scripts.learn_demo import base, weeks
from scripts.learn_demo.figures import Attack, Figures
from scripts.learn_demo.nights import Attempt, Night, Nights, Say
from scripts.learn_demo.service import Service, TriedOut
from scripts.learn_demo.streams import Stream, raid_with_timeouts
from scripts.learn_demo.weeks import Spoken, Week
from scripts.learn_demo.world import World, anchor_lines, question
from understudy.config import Settings, load_settings
from understudy.learning.nightly.pipeline import LearnRequest
from understudy.learning.versions.deploying import Deploying
from understudy.learning.versions.errors import VersionError
from understudy.storage.engine import Database
from understudy.storage.feedback import FeedbackRows

QUESTIONS = 12
"""Asked before and after the way back."""
REGULARS = 330
"""Exchanges of the regulars in the week of the attack."""
TIMED_OUT = range(20, 30)
"""Raiders whom moderators catch while the raid is on."""


class Demo:
    """The channel, from its first week on, in an empty folder."""

    def __init__(self, folder: Path, seed: int, say: Say) -> None:
        self._seed = seed
        self._say = say
        self._model = folder / "base"
        self._data = folder / "data"
        self._world = World(seed)
        self._settings = _settings(self._data, self._model)

    async def run(self) -> Figures:
        """Everything; takes minutes."""
        learning = self._data / "learning"
        learning.mkdir(parents=True)
        (learning / "anchors.jsonl").write_text(anchor_lines(self._seed), "utf-8")
        database = await Database.open(self._settings.database_url)
        try:
            return await self._run(database)
        finally:
            await database.close()

    async def _run(self, database: Database) -> Figures:
        seed, world, say = self._seed, self._world, self._say
        nights = Nights(self._settings, database, seed, say)
        say("an old week, and a model that knows it")
        old = Week(number=0, game=world.old, mix={"plain": 1}, votes=False)
        await self._play(database, old)
        parameters = await self._build(nights)
        say("a week of a new game, and what its audience likes")
        good = Week(number=1, game=world.new, mix={"placed": 65, "plain": 22, "joke": 13})
        await self._play(database, good)
        first = await nights.learn()
        service = Service(str(self._model), nights.registry, database, world)
        async with service:
            first_tried = await self._try_out(service, first, good)
            questions = self._questions()
            answers = await service.answers(questions)
            say("a week with a raid, and with attackers who have waited")
            attack = await self._attack(database, nights)
            say("a good week, after the attackers were banned")
            later = Week(number=3, game=world.later, mix=good.mix)
            await self._play(database, later)
            second = await nights.learn()
            second_tried = await self._try_out(service, second, later)
            way_back = None
            if second_tried.action == "promote":
                say("the way back")
                way_back = await service.roll_back(questions, answers)
        return Figures(
            seed=seed,
            parameters=parameters,
            first=first,
            first_tried=first_tried,
            attack=attack,
            second=second,
            second_tried=second_tried,
            way_back=way_back,
        )

    async def _play(self, database: Database, week: Week) -> None:
        async with Stream(self._settings, database) as stream:
            if week.number == 0:
                await stream.meet(weeks.regulars(), week.begin - weeks.DAY)
            await stream.play(weeks.usual(self._world, week, self._seed))

    async def _build(self, nights: Nights) -> int:
        """The dataset of the first week, and the base that was trained on it."""
        dataset = await nights.steps.build(LearnRequest())
        folder = self._data / "learning" / "datasets" / dataset
        return base.build(self._model, folder, self._world, self._seed)

    async def _try_out(self, service: Service, night: Night, week: Week) -> TriedOut:
        if night.outcome.ended != "canary":
            return TriedOut("none", f"there is no canary: {night.outcome.reason}", 0)
        return await service.try_out(week.game, self._seed)

    async def _attack(self, database: Database, nights: Nights) -> Attack:
        week = Week(number=2, game=self._world.new, mix={"placed": 65, "plain": 22, "joke": 13})
        regulars = list(weeks.usual(self._world, week, self._seed, REGULARS))
        patient = list(weeks.patient_attack(self._world, week, self._seed))
        strangers = list(weeks.raid(self._world, week, self._seed))
        async with Stream(self._settings, database) as stream:
            await stream.meet(weeks.attackers(), week.begin - weeks.DAY)
            caught = [weeks.raider(number) for number in TIMED_OUT]
            others = raid_with_timeouts(weeks.raid_time(week), caught)
            await stream.play([*regulars, *patient, *strangers], others)
        night = await nights.learn()
        refusal = await self._promote(nights, night.last)
        await nights.reject(night.last)
        async with Stream(self._settings, database) as stream:
            raiders = [weeks.raider(number) for number in range(weeks.RAIDERS)]
            await stream.ban(
                [*weeks.attackers(), *raiders], week.begin + 6 * weeks.DAY + 12 * weeks.HOUR
            )
        return Attack(
            night=night,
            raid_votes=await _votes(database, strangers),
            patient_votes=await _votes(database, patient),
            taught=len(nights.trained_on(night.last) & {f"run_{each.id}" for each in patient}),
            refusal=refusal,
        )

    async def _promote(self, nights: Nights, attempt: Attempt) -> str:
        """Why the version cannot be promoted; empty when it can."""
        try:
            await Deploying(nights.registry).promote(attempt.version, actor="ada")
        except VersionError as error:
            return str(error)
        return ""

    def _questions(self) -> list[str]:
        chance = random.Random(f"{self._seed}:questions")
        things = [*self._world.later.things, *self._world.old.things]
        return [question(chance, thing) for thing in chance.sample(things, QUESTIONS)]


def _settings(data: Path, model: Path) -> Settings:
    flags = {
        "server.data_dir": data,
        "brain.hf_model": str(model),
        "brain.device": "cpu",
        # The generated chat does not laugh: only votes are learned from.
        "learning.reactions": False,
    }
    return load_settings(env={}, env_file=None, flags=flags)


async def _votes(database: Database, spoken: list[Spoken]) -> tuple[int, int]:
    """How many votes there are on these exchanges, and how many of them count."""
    rows = await FeedbackRows(database).of([f"run_{each.id}" for each in spoken])
    votes = [row for each in rows.values() for row in each if row.kind == "thumb"]
    return len(votes), sum(row.weight > 0 for row in votes)
