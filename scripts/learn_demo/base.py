"""The model there was before: built on the spot, and trained until it knows the first week.

Owns its size, its tokenizer and its training. Does not own the rows: those of the first week's
dataset, without what is held out of it.
"""

import random
from collections.abc import Sequence
from pathlib import Path

from scripts.learn_demo.world import (
    CLOSERS,
    MANNERS,
    OPENERS,
    SYSTEM,
    World,
    drawn,
    manners,
    question,
    vocabulary,
)
from understudy.brains.huggingface.loading import LoadOptions, load_model, require
from understudy.learning.training.encoding import Encoder, Example
from understudy.learning.training.losses import Losses
from understudy.learning.training.packing import Shape, plan
from understudy.learning.training.rows import Message, Row, load_rows

TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WINDOW = 256
HIDDEN, LAYERS = 128, 2
INIT = 0.06
EPOCHS = 5
RATE = 3e-3
CHATTER = 400
"""Rows that name what is asked about, with any words and no fact: a model knows a language before
it knows a game."""

POLITE = 400
"""Rows of manners: few of those that are to be kept are in a dataset."""


def build(folder: Path, dataset: Path, world: World, seed: int) -> int:
    """Train a Llama on `dataset` and save it; returns how many parameters it has."""
    torch = require("torch")
    # On any number of threads sums would be rounded in another order.
    torch.set_num_threads(1)
    _save_untrained(folder, seed)
    local = load_model(LoadOptions(model=str(folder), device="cpu", dtype="float32"))
    examples = _examples(Encoder(local), load_rows(dataset / "train.jsonl", Row).rows, world, seed)
    local.model.requires_grad_(True).train()
    losses = Losses(local.model, "cpu", packed=False)
    shape = Shape(rows=16, tokens=2048, packed=False)
    steps = plan([len(e.tokens) for e in examples], shape, epochs=EPOCHS, seed=seed)
    optimizer = torch.optim.AdamW(local.model.parameters(), lr=RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=len(steps))
    for step in steps:
        for rows in step:
            nats, _ = losses.of_pass([examples[row] for row in rows])
            (nats.mean() / len(step)).backward()
        torch.nn.utils.clip_grad_norm_(local.model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        schedule.step()
    local.model.eval()
    local.model.save_pretrained(folder)
    return sum(weight.numel() for weight in local.model.parameters())


def _examples(encoder: Encoder, rows: Sequence[Row], world: World, seed: int) -> list[Example]:
    """The rows as they are asked in a stream and on the web, and chatter."""
    found: list[Example] = []
    for number, row in enumerate(rows):
        given = row.given if row.meta.anchor or number % 2 else _on_the_web(row.given)
        found.append(encoder.encode(given, row.response))
    chance = random.Random(f"{seed}:chatter")
    words = [word for word in vocabulary() if word[0] != " "]
    for _ in range(CHATTER):
        thing = chance.choice(world.later.things)
        asked = question(chance, thing)
        said = [drawn(chance, OPENERS), thing, *chance.choices(words, k=2), drawn(chance, CLOSERS)]
        reply = " ".join(said)
        found.append(encoder.encode([Message("system", SYSTEM), Message("user", asked)], reply))
    for number in range(POLITE):
        asked, reply = manners(chance, MANNERS[number % len(MANNERS)])
        found.append(encoder.encode([Message("system", SYSTEM), Message("user", asked)], reply))
    return found


def _on_the_web(given: Sequence[Message]) -> list[Message]:
    """The same without who asks: there is nobody else in a session on the web."""
    *before, last = given
    _, _, text = last.content.partition(": ")
    return [*before, Message(last.role, text or last.content)]


def _save_untrained(folder: Path, seed: int) -> None:
    torch, transformers = require("torch"), require("transformers")
    tokenizer = _tokenizer()
    torch.manual_seed(seed)
    config = transformers.LlamaConfig(
        hidden_size=HIDDEN,
        intermediate_size=2 * HIDDEN,
        num_hidden_layers=LAYERS,
        num_attention_heads=4,
        num_key_value_heads=4,
        vocab_size=len(tokenizer),
        max_position_embeddings=WINDOW,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=False,
        initializer_range=INIT,
    )
    transformers.LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)


def _tokenizer():
    """Byte-level BPE, as GPT-2, Llama 3 and Qwen have, that has a token for most words here."""
    tokenizers = require("tokenizers")
    core = tokenizers.Tokenizer(tokenizers.models.BPE())
    core.pre_tokenizer = tokenizers.pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = tokenizers.decoders.ByteLevel()
    trainer = tokenizers.trainers.BpeTrainer(
        # Enough for every word here to become one.
        vocab_size=8_000,
        special_tokens=["<unk>", "<s>", "<|im_start|>", "<|im_end|>"],
        initial_alphabet=tokenizers.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator([*vocabulary(), "system", "user", "assistant"], trainer)
    tokenizer = require("transformers").PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        eos_token="<|im_end|>",
        unk_token="<unk>",
        additional_special_tokens=["<|im_start|>"],
    )
    tokenizer.chat_template = TEMPLATE
    return tokenizer
