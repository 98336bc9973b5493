"""Forward passes: reading a prompt, and one step for several rows at once.

Owns the numerics. Does not own which rows go together (`engine`) or what is drawn (`sampling`).

A reply must not depend on who else is being answered, not even in the last bit, or a near tie
between two tokens would fall the other way in company. Three rules make that so:

- Every row keeps a key-value cache of its own and attention is computed row by row, so no row is
  padded to another's length.
- Everything else of a step (the matrix products, where the time goes) is one pass over a fixed
  number of rows, `width`; missing rows are filled up. The same shapes mean the same kernels, and
  those compute each row alike wherever it stands.
- A prompt is read alone, in blocks of a fixed size.

Whether the second rule holds depends on model, device and library, so it is proved when a model is
loaded, by comparing bits; where it fails, or costs a lone reply too much, rows are stepped one by
one, which is exact by construction.
"""

import copy
import logging
import time
from typing import Any

from understudy.brains.huggingface.loading import LocalModel, require

WIDTH = 8
"""Rows of one forward pass."""
BLOCK = 256
CPU_BLOCK = 64
"""Tokens of a prompt that are read in one forward pass: running replies and a cancellation wait so
long."""
DEAREST_FILLING = 2.0
"""How much longer a lone reply's step may take for being computed at full width."""
ATTENTION = "understudy_rows"
ALIKE = 0.98
"""Cosine between the scores of a step in company and of transformers' own; rounding is above."""
STEPS = 3

_log = logging.getLogger(__name__)

Tensor = Any
Cache = Any


class Decoder:
    """Runs a model. `width` is how many rows a step takes; `width=None` proves and measures it."""

    def __init__(self, local: LocalModel, width: int | None = None) -> None:
        self._torch: Any = require("torch")
        self._model = local.model
        self._device = local.device
        self._config = local.model.config.get_text_config(decoder=True)
        self._dynamic_cache: Any = require("transformers").DynamicCache
        self.width = 1
        own = self._config._attn_implementation
        # LLM.int8 looks for outliers in the whole batch, so its rows are never independent.
        if width == 1 or own != "sdpa" or local.quantization == "8bit":
            return
        register_attention()
        self._model.set_attn_implementation(ATTENTION)
        self.width = width or WIDTH
        if not self._is_worth_it(ask_price=width is None):
            self.width = 1
            self._model.set_attn_implementation(own)

    def new_cache(self) -> Cache:
        """The memory of one row."""
        return self._dynamic_cache(config=self._config)

    def block(self, cache: Cache) -> int | None:
        """How many tokens of a prompt may be read at once; None for all of them."""
        # A recurrent state cannot always be carried on by several tokens.
        if any(getattr(cache, "is_linear", ())):
            return None
        return CPU_BLOCK if self._device == "cpu" else BLOCK

    def read(self, tokens: list[int], cache: Cache) -> Tensor:
        """Read `tokens` into `cache` and return the scores (vocabulary) that follow the last."""
        ids = self._torch.tensor([tokens], device=self._device)
        output = self._model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=1)
        return output.logits[0, -1]

    def step(self, tokens: list[int], caches: list[Cache]) -> Tensor:
        """Read one token into each of at most `width` rows; returns scores (rows x vocabulary)."""
        if self.width == 1:
            scores = [self.read([token], c) for token, c in zip(tokens, caches, strict=True)]
            return self._torch.stack(scores)
        filling = [0] * (self.width - len(tokens))
        positions = [cache.get_seq_length() for cache in caches]
        ids = self._torch.tensor([*tokens, *filling], device=self._device)
        places = self._torch.tensor([*positions, *filling], device=self._device)
        output = self._model(
            input_ids=ids[:, None],
            position_ids=places[:, None],
            past_key_values=RowCaches(caches),
            use_cache=True,
        )
        return output.logits[: len(tokens), -1]

    def _is_worth_it(self, ask_price: bool) -> bool:
        try:
            with self._torch.inference_mode():
                exact, price = self._prove()
        except Exception as error:
            # Whatever a model's own code objects to: it can still be run row by row.
            _log.info("rows are stepped one by one: %s: %s", type(error).__name__, error)
            return False
        worth = exact and (not ask_price or price <= DEAREST_FILLING)
        _log.info(
            "rows are stepped %s: in company they are %s, and a lone one takes %.1f times as long",
            "together" if worth else "one by one",
            "exact" if exact else "not exact",
            price,
        )
        return worth

    def _prove(self) -> tuple[bool, float]:
        """Whether company changes no bit of a row's scores, and the price of a filled-up step."""
        caches = [self.new_cache() for _ in range(self.width)]
        for row, cache in enumerate(caches):
            self.read([(7 * row + place) % 97 + 1 for place in range(2 * row + 1)], cache)
        watched = sorted({0, len(caches) // 2, len(caches) - 1})
        alone, plain = ({row: copy.deepcopy(caches[row]) for row in watched} for _ in range(2))
        filled_seconds: list[float] = []
        plain_seconds: list[float] = []
        exact = True
        for number in range(STEPS):
            tokens = [(31 * row + number) % 89 + 1 for row in range(len(caches))]
            together = self.step(tokens, caches)
            for row in watched:
                began = time.perf_counter()
                lone = self.step([tokens[row]], [alone[row]])[0]
                exact = exact and bool(self._torch.equal(lone, together[row]))
                middle = time.perf_counter()
                theirs = self.read([tokens[row]], plain[row])
                exact = exact and self._cosine(lone, theirs) >= ALIKE
                filled_seconds.append(middle - began)
                plain_seconds.append(time.perf_counter() - middle)
        return exact, min(filled_seconds) / min(plain_seconds)

    def _cosine(self, one: Tensor, other: Tensor) -> float:
        return float(self._torch.cosine_similarity(one.float(), other.float(), dim=0))


class RowCaches:
    """The caches of several rows where transformers expects one cache for all of them.

    `update` returns lists with one tensor per row instead of a padded tensor; only `attend_rows`
    can read them.
    """

    is_compileable = False

    def __init__(self, caches: list[Cache]) -> None:
        self._caches = caches
        self.layers: list[Any] = []

    def update(
        self, keys: Tensor, values: Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[list[Tensor], list[Tensor]]:
        """Store the new keys and values of each row; filled-up rows have no cache."""
        stored = [
            cache.update(keys[row : row + 1], values[row : row + 1], layer_idx)
            for row, cache in enumerate(self._caches)
        ]
        return [pair[0] for pair in stored], [pair[1] for pair in stored]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Not used: positions are given explicitly."""
        return 0

    def get_query_offset(self, layer_idx: int = 0) -> int:
        """Not used: a row attends to all that it has stored."""
        return 0

    def get_mask_sizes(self, query_length: int, layer_idx: int = 0) -> tuple[int, int]:
        """Sizes for which no mask is made."""
        return query_length, 0


def register_attention() -> None:
    """Tell transformers about attention row by row; once or again makes no difference."""
    transformers = require("transformers")
    masks = require("transformers.masking_utils")
    transformers.AttentionInterface.register(ATTENTION, attend_rows)
    transformers.AttentionMaskInterface.register(ATTENTION, masks.sdpa_mask)


def attend_rows(
    module: Any, query: Tensor, key: Any, value: Any, attention_mask: Any, **options: Any
) -> tuple[Tensor, None]:
    """Scaled dot-product attention (query: rows x heads x tokens x size), row by row for lists."""
    attend = require("transformers.integrations.sdpa_attention").sdpa_attention_forward
    if not isinstance(key, list):
        return attend(module, query, key, value, attention_mask, **options)
    output = query.new_zeros(query.shape[0], 1, query.shape[1], value[0].shape[-1])
    for row in range(len(value)):
        rows = slice(row, row + 1)
        output[rows] = attend(module, query[rows], key[row], value[row], None, **options)[0]
    return output, None
