"""Chooses the next token of every row.

Owns temperature, top-k and top-p, row by row. Does not own where the scores come from (`decoder`)
or when a reply ends (`row`).
"""

from typing import Any

import msgspec

from understudy.brains.base import BrainRequest

NOT_A_TOKEN = -1
"""Chosen for a row whose scores are no numbers."""


class Sampling(msgspec.Struct, frozen=True):
    """How tokens are drawn; temperature 0 always takes the most likely one."""

    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int = 0

    @classmethod
    def of_model(cls, config: Any) -> "Sampling":
        """What a model's own generation config asks for."""
        if not config.do_sample:
            return cls()
        temperature, top_p, top_k = config.temperature, config.top_p, config.top_k
        return cls(
            1.0 if temperature is None else float(temperature),
            1.0 if top_p is None else float(top_p),
            int(top_k or 0),
        )

    def for_request(self, request: BrainRequest) -> "Sampling":
        """These, with what the request asks for instead."""
        temperature = self.temperature if request.temperature is None else request.temperature
        top_p = self.top_p if request.top_p is None else request.top_p
        return Sampling(max(temperature, 0.0), top_p, self.top_k)


def choose(torch: Any, scores: Any, samplings: list[Sampling], generators: list[Any]) -> list[int]:
    """The next token of each row of `scores` (rows x vocabulary).

    `generators` holds one source of randomness per row, so that a row's draws do not depend on its
    neighbours. `NOT_A_TOKEN` stands where the scores are not finite.
    """
    chosen = scores.argmax(-1)
    for row, (sampling, generator) in enumerate(zip(samplings, generators, strict=True)):
        if sampling.temperature > 0:
            chosen[row] = _draw(torch, scores[row], sampling, generator)
    usable = torch.isfinite(scores.max(-1).values)
    # One transfer from the device for all rows.
    return torch.where(usable, chosen, NOT_A_TOKEN).tolist()


def _draw(torch: Any, scores: Any, sampling: Sampling, generator: Any) -> Any:
    """Draw one token (a tensor without dimensions) from `scores` (vocabulary)."""
    # Rows that are not finite are marked later; drawing from them must not bring a GPU down.
    scores = torch.nan_to_num(scores.float(), nan=0.0, posinf=0.0) / sampling.temperature
    ordered, tokens = scores.sort(descending=True, stable=True)
    chances = ordered.softmax(-1)
    if sampling.top_k > 0:
        chances[sampling.top_k :] = 0
    if sampling.top_p < 1:
        # The likeliest token always stays: nothing comes before it.
        chances[1:][(chances.cumsum(-1) - chances)[1:] >= sampling.top_p] = 0
    return tokens[torch.multinomial(chances, 1, generator=generator)[0]]
