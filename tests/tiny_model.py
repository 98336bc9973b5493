"""Builds tiny language models, tokenizers and LoRA adapters on the spot: no download, no network.

Used by the tests and benchmarks of the local model. The weights are random, so the text is
nonsense, but everything that happens to it is real.
"""

import json
import os
import warnings
from collections.abc import Sequence
from pathlib import Path

# Read by the hub's library when it is imported.
os.environ["HF_HUB_OFFLINE"] = "1"

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
STRICT = (
    "{% for m in messages %}"
    "{% if m.role == 'system' %}{{ raise_exception('no system role') }}{% endif %}"
    "{% if (m.role == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}"
    "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{{ '<|im_start|>assistant\n' }}"
)
"""Refuses a system prompt and roles that do not alternate, as some models' templates do."""

SPECIAL = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
CORPUS = [
    "The streamer plays a hard level and the chat cheers: go, go, go!",
    "Hello there, how are you today? I am fine, thank you, and you?",
    "Understudy answers the chat. What a jump! That was close.",
    "Grüße aus München, ça va, привет, 你好世界, こんにちは, 🎉🎮❤️",
]


def byte_level_tokenizer(template: str | None = CHATML):
    """A byte-level BPE tokenizer, as GPT-2, Llama 3 and Qwen have."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400,
        special_tokens=SPECIAL,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    core.train_from_iterator(CORPUS, trainer)
    return _wrap(core, template)


def byte_fallback_tokenizer(template: str | None = CHATML):
    """BPE with word marks and bytes for unknown characters, as Llama 2 and TinyLlama have."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers, trainers

    plain = Tokenizer(models.BPE(unk_token="<unk>"))
    plain.pre_tokenizer = pre_tokenizers.Metaspace()
    alphabet = [chr(code) for code in range(33, 127)]
    trainer = trainers.BpeTrainer(
        vocab_size=300, special_tokens=["<unk>"], initial_alphabet=alphabet, show_progress=False
    )
    plain.train_from_iterator([text.encode("ascii", "ignore").decode() for text in CORPUS], trainer)
    trained = json.loads(plain.to_str())["model"]
    tokens = [*SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256))]
    tokens += [token for token in trained["vocab"] if token not in SPECIAL]
    model = models.BPE(
        vocab={token: number for number, token in enumerate(tokens)},
        merges=[tuple(pair) for pair in trained["merges"]],
        unk_token="<unk>",
        fuse_unk=True,
        byte_fallback=True,
    )
    core = Tokenizer(model)
    core.pre_tokenizer = pre_tokenizers.Metaspace()
    core.decoder = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    core.add_special_tokens([AddedToken(token, normalized=False) for token in SPECIAL])
    return _wrap(core, template)


def build_model(
    folder: Path,
    *,
    template: str | None = CHATML,
    window: int = 512,
    hidden: int = 64,
    layers: int = 2,
    seed: int = 1,
) -> Path:
    """Save a Llama with random weights (0.1 M by default) and its tokenizer into `folder`."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM
    from transformers.utils import logging

    logging.disable_progress_bar()
    tokenizer = byte_level_tokenizer(template)
    torch.manual_seed(seed)
    config = LlamaConfig(
        hidden_size=hidden,
        intermediate_size=hidden * 2,
        num_hidden_layers=layers,
        num_attention_heads=max(hidden // 32, 2),
        num_key_value_heads=max(hidden // 64, 1),
        vocab_size=len(tokenizer),
        max_position_embeddings=window,
        # Wide, so that the most likely token changes from step to step.
        initializer_range=0.3 if hidden < 128 else 0.05,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        tie_word_embeddings=False,
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def build_adapter(
    model: Path,
    folder: Path,
    *,
    seed: int,
    targets: Sequence[str] = ("q_proj", "v_proj", "down_proj"),
    **options: object,
) -> Path:
    """Save a LoRA adapter with random weights for the model in `model` into `folder`."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(seed)
    base = AutoModelForCausalLM.from_pretrained(model)
    config = LoraConfig(r=4, lora_alpha=8, target_modules=list(targets), **options)
    adapted = get_peft_model(base, config)
    with torch.no_grad():
        for name, weight in adapted.named_parameters():
            if "lora_B" in name:
                weight.normal_(std=0.3)
    with warnings.catch_warnings():
        # It looks for the model's config on the hub, which nobody can reach here.
        warnings.simplefilter("ignore")
        adapted.save_pretrained(folder)
    return folder


def _wrap(core, template: str | None):
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=core,
        bos_token="<s>",
        eos_token="<|im_end|>",
        unk_token="<unk>",
        additional_special_tokens=["<|im_start|>"],
    )
    tokenizer.chat_template = template
    return tokenizer
