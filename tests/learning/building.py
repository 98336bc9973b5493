"""A log and a folder of datasets, and what builds them."""

import json
from pathlib import Path

from tests.learning.logged import HOUR, START
from understudy.learning.datasets.builder import DatasetBuilder, DatasetRequest
from understudy.learning.datasets.curate import CurationRules
from understudy.learning.datasets.store import Datasets, Manifest
from understudy.storage.engine import Database

NOW = START + 10_000 * HOUR
RULES = CurationRules(bots=("nightbot",), cohost=("Understudy",))


class Place:
    """A database, a folder of datasets, and what builds them."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.datasets = Datasets(folder / "datasets")
        self.anchors = folder / "anchors.jsonl"
        self.builds = 0

    async def build(self, **request: object) -> Manifest:
        self.builds += 1
        builder = DatasetBuilder(self.database, self.datasets, RULES, self.anchors)
        return await builder.build(DatasetRequest(**request), now=NOW + self.builds * 1_000)  # type: ignore[arg-type]

    def rows(self, manifest: Manifest, name: str = "train") -> list[dict]:
        path = self.datasets.folder / manifest.id / f"{name}.jsonl"
        if not path.is_file():
            return []
        return [json.loads(line) for line in path.read_text("utf-8").splitlines()]

    def ids(self, manifest: Manifest, name: str = "train") -> set[str]:
        return {row["meta"]["id"] for row in self.rows(manifest, name) if not row["meta"]["anchor"]}
