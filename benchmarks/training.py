"""What a LoRA training costs beside TRL's SFTTrainer: `make bench BENCH=training`.

The same random model, rows, LoRA, rows of a step and steps for both, each round in a process of its
own, in turns; the table shows medians. Counted are real tokens, never padding; time begins after
the first `--warm` steps, when both have their rows prepared. The goal is 1.2 times TRL's tokens per
CPU second. TRL pads rows as they come; the last column is TRL told to group them by length.

On a GPU both pack, and MFU says how much of the GPU's peak is used:

    tokens/s x (4N + 6n + 6 L d s) / peak

with N parameters that multiply (a tied head counts once, the input embedding not at all), n LoRA
parameters, L layers of width d, and s the mean length of the row a token is in. Work that is done
twice to save memory does not count. `--shape 1b` and `--shape 8b` are random models of Llama's
sizes; `--model FOLDER` takes a real one.

    python benchmarks/training.py [--rounds 3] [--rows 480] [--shape small|1b|8b] [--model FOLDER]
"""

import argparse
import json
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from rich.console import Console
from rich.table import Table

from tests.tiny_model import byte_level_tokenizer
from understudy.brains.huggingface.loading import LocalModel
from understudy.brains.huggingface.sampling import Sampling
from understudy.learning.training.adapter import attach, trained_weights
from understudy.learning.training.encoding import Encoder, Example
from understudy.learning.training.job import Job, Options
from understudy.learning.training.loop import Hooks, Loop
from understudy.learning.training.machine import choose_machine, load_base
from understudy.learning.training.rows import Message

GOAL = 1.2
WORKERS = ["lean", "trl", "grouped"]
RATE = 1e-3
GPU_STEP_TOKENS = 8192
SHAPES: dict[str, dict[str, Any]] = {
    "small": {
        "hidden_size": 192,
        "intermediate_size": 512,
        "num_hidden_layers": 3,
        "num_attention_heads": 6,
        "num_key_value_heads": 3,
        "vocab_size": 4096,
    },
    "1b": {
        "hidden_size": 2048,
        "intermediate_size": 8192,
        "num_hidden_layers": 16,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128_256,
        "tie_word_embeddings": True,
    },
    "8b": {
        "hidden_size": 4096,
        "intermediate_size": 14_336,
        "num_hidden_layers": 32,
        "num_attention_heads": 32,
        "num_key_value_heads": 8,
        "vocab_size": 128_256,
    },
}
PEAKS = {"H100 PCIe": 756, "H100": 989, "H200": 989, "A100": 312, "4090": 165, "A6000": 155}
"""Dense 16-bit TFLOP/s by a part of the GPU's name; the first that fits counts."""


class Timer:
    """Wall and CPU seconds of the steps after the first `warm` ones."""

    def __init__(self, warm: int, device: str) -> None:
        self.steps = 0
        self._warm = warm
        self._device = device
        self._began = (0.0, 0.0)
        self._ended = (0.0, 0.0)

    def step(self) -> None:
        if self._device.startswith("cuda"):
            import torch

            torch.cuda.synchronize()
        self.steps += 1
        self._ended = (time.perf_counter(), time.process_time())
        if self.steps == self._warm:
            self._began = self._ended

    def figures(self, tokens: int, computed: int) -> dict[str, float]:
        """`tokens` and what was `computed` for them are those of all steps."""
        counted = tokens * (self.steps - self._warm) / self.steps
        wall, cpu = (end - begin for end, begin in zip(self._ended, self._began, strict=True))
        return {
            "tokens_per_second": counted / wall,
            "tokens_per_cpu_second": counted / cpu,
            "cpu_seconds_per_1000": 1000 * cpu / counted,
            "computed_per_cpu_second": counted * computed / tokens / cpu,
            "padding": 1 - tokens / computed,
        }


def conversations(count: int) -> list[tuple[str, str]]:
    """Questions and replies as long as those of a chat: mostly short, now and then long."""
    chance = random.Random(1)
    words = "go chat jump boss level what is the best run today hello again that was close"

    def text(mean: float) -> str:
        length = max(2, min(120, round(chance.lognormvariate(mean, 0.6))))
        return " ".join(chance.choices(words.split(), k=length))

    return [(text(2.3), text(2.6)) for _ in range(count)]


def make_local(arguments: argparse.Namespace) -> LocalModel:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    if arguments.model:
        return load_base(arguments.model, Options())
    gpu = torch.cuda.is_available()
    device, dtype = ("cuda", torch.bfloat16) if gpu else ("cpu", torch.float32)
    torch.set_num_threads(arguments.threads)
    tokenizer = byte_level_tokenizer()
    config = LlamaConfig(
        **SHAPES[arguments.shape],
        max_position_embeddings=GPU_STEP_TOKENS,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.eos_token_id,
    )
    torch.manual_seed(0)
    torch.set_default_dtype(dtype)
    with torch.device(device):
        model = LlamaForCausalLM(config)
    torch.set_default_dtype(torch.float32)
    model.requires_grad_(False)
    return LocalModel(
        model=model,
        tokenizer=tokenizer,
        device=device,
        dtype=str(dtype).removeprefix("torch."),
        quantization="none",
        window=GPU_STEP_TOKENS,
        end_tokens=frozenset([tokenizer.eos_token_id]),
        defaults=Sampling(),
    )


def rows_of_a_step(arguments: argparse.Namespace, device: str, examples: list[Example]) -> int:
    if arguments.batch_size:
        return arguments.batch_size
    mean = statistics.mean(len(example.tokens) for example in examples)
    return round(GPU_STEP_TOKENS / mean) if device.startswith("cuda") else 16


def train_lean(
    local: LocalModel, texts: list[tuple[str, str]], arguments: argparse.Namespace
) -> dict[str, float]:
    encoder = Encoder(local)
    began = time.process_time()
    examples = [encoder.encode([Message("user", asked)], reply) for asked, reply in texts]
    prepared = time.process_time() - began
    rows = rows_of_a_step(arguments, local.device, examples)
    options = Options(epochs=1, batch_size=rows, learning_rate=RATE)
    model = attach(local.model, rank=16, alpha=32, dropout=0.0, seed=0)
    machine = choose_machine(local, model, options, examples[:3])
    timer = Timer(arguments.warm, local.device)
    hooks = Hooks(on_step=lambda line: timer.step(), save=lambda point: None)
    job = Job(data="", base="", options=options)
    loop = Loop(model, examples, [], job, machine, hooks)
    loop.run()
    figures = timer.figures(loop.position.seen, loop.position.computed)
    return {**figures, **shape_of(local, model, examples), "prepared": prepared}


def train_trl(
    local: LocalModel, texts: list[tuple[str, str]], arguments: argparse.Namespace
) -> dict[str, float]:
    grouped = arguments.worker == "grouped"
    import datasets
    import transformers
    from peft import LoraConfig
    from trl import SFTConfig, SFTTrainer

    datasets.disable_progress_bars()
    encoder = Encoder(local)
    examples = [encoder.encode([Message("user", asked)], reply) for asked, reply in texts]
    gpu = local.device.startswith("cuda")
    rows = rows_of_a_step(arguments, local.device, examples)
    local.tokenizer.pad_token = local.tokenizer.eos_token
    data = datasets.Dataset.from_list(
        [
            {
                "prompt": [{"role": "user", "content": asked}],
                "completion": [{"role": "assistant", "content": reply}],
            }
            for asked, reply in texts
        ]
    )
    timer = Timer(arguments.warm, local.device)
    with tempfile.TemporaryDirectory() as folder:
        settings = SFTConfig(
            output_dir=folder,
            per_device_train_batch_size=1 if gpu else rows,
            num_train_epochs=1,
            learning_rate=RATE,
            max_length=GPU_STEP_TOKENS if gpu else 2048,
            packing=gpu,
            train_sampling_strategy="group_by_length" if grouped else "random",
            bf16=gpu,
            use_cpu=not gpu,
            gradient_checkpointing=False,
            save_strategy="no",
            logging_strategy="no",
            report_to=[],
            disable_tqdm=True,
            dataloader_pin_memory=gpu,
        )
        lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
        began = time.process_time()
        trainer = SFTTrainer(
            model=local.model,
            args=settings,
            train_dataset=data,
            processing_class=local.tokenizer,
            peft_config=lora,
        )
        prepared = time.process_time() - began
        computed = count_computed(trainer)

        class Steps(transformers.TrainerCallback):
            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
                timer.step()

        trainer.add_callback(Steps())
        trainer.remove_callback(transformers.PrinterCallback)
        trainer.train()
    tokens = sum(len(example.tokens) for example in examples)
    figures = timer.figures(tokens, max(computed[0], tokens))
    return {**figures, **shape_of(local, trainer.model, examples), "prepared": prepared}


def count_computed(trainer: Any) -> list[int]:
    """Counts the tokens of TRL's batches, padding included."""
    computed, collate = [0], trainer.data_collator

    def counting(rows: Any) -> Any:
        batch = collate(rows)
        computed[0] += batch["input_ids"].numel()
        return batch

    trainer.data_collator = counting
    return computed


def shape_of(local: LocalModel, model: Any, examples: list[Example]) -> dict[str, float]:
    """What the formula of MFU needs."""
    lora = sum(weight.numel() for weight in trained_weights(model))
    every = sum(weight.numel() for weight in model.parameters()) - lora
    config = local.model.config
    embedding = 0 if config.tie_word_embeddings else config.vocab_size * config.hidden_size
    lengths = [len(example.tokens) for example in examples]
    return {
        "parameters": every - embedding,
        "lora": lora,
        "layers_width": config.num_hidden_layers * config.hidden_size,
        "row": sum(length**2 for length in lengths) / sum(lengths),
    }


def work(arguments: argparse.Namespace) -> dict[str, float]:
    import torch

    # What the libraries say to programmers who use them.
    warnings.filterwarnings("ignore")
    texts = conversations(arguments.rows)
    local = make_local(arguments)
    train = train_lean if arguments.worker == "lean" else train_trl
    figures = train(local, texts, arguments)
    if local.device.startswith("cuda"):
        figures["memory"] = torch.cuda.max_memory_allocated() / 2**20
        figures["mfu"] = mfu(figures, torch.cuda.get_device_name(), arguments.peak)
    else:
        figures["memory"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return figures


def mfu(figures: dict[str, float], name: str, peak: float) -> float:
    """The share of the peak that was used; 0 for a GPU whose peak nobody said."""
    known = peak or next((value for part, value in PEAKS.items() if part in name), 0)
    flops = 4 * figures["parameters"] + 6 * figures["lora"]
    flops += 6 * figures["layers_width"] * figures["row"]
    return figures["tokens_per_second"] * flops / (known * 1e12) if known else 0.0


def measure(arguments: argparse.Namespace) -> dict[str, list[dict[str, float]]]:
    found: dict[str, list[dict[str, float]]] = {worker: [] for worker in WORKERS}
    for number in range(arguments.rounds):
        for worker in WORKERS[:: -1 if number % 2 else 1]:
            print(f"round {number + 1}: {worker} …", file=sys.stderr)
            command = [sys.executable, __file__, *sys.argv[1:], "--worker", worker]
            done = subprocess.run(command, capture_output=True, text=True, check=False)
            if done.returncode:
                sys.exit(f"{worker} failed:\n{done.stderr[-2000:]}")
            found[worker].append(json.loads(done.stdout.splitlines()[-1]))
    return found


def show(found: dict[str, list[dict[str, float]]]) -> bool:
    medians = {
        worker: {key: statistics.median(f[key] for f in rounds) for key in rounds[0]}
        for worker, rounds in found.items()
    }
    lean, trl, grouped = (medians[worker] for worker in WORKERS)
    table = Table("LoRA training", "Understudy", "TRL", "ratio", "TRL, grouped", "ratio")
    for title, key, form in [
        ("tokens per second", "tokens_per_second", ",.0f"),
        ("tokens per CPU second", "tokens_per_cpu_second", ",.0f"),
        ("CPU seconds per 1,000 tokens", "cpu_seconds_per_1000", ".3f"),
        ("the same, padding counted", "computed_per_cpu_second", ",.0f"),
        ("share of padding", "padding", ".1%"),
        ("peak memory, MiB", "memory", ",.0f"),
        ("CPU seconds to prepare the rows", "prepared", ".2f"),
        ("MFU", "mfu", ".1%"),
    ]:
        if key not in lean:
            continue
        cells = [f"{lean[key]:{form}}"]
        for other in (trl, grouped):
            cells += [f"{other[key]:{form}}", f"{lean[key] / other[key]:.2f}" if other[key] else ""]
        table.add_row(title, *cells)
    console = Console()
    console.print(f"{lean['parameters'] / 1e6:,.1f} M parameters, LoRA {lean['lora'] / 1e6:.2f} M")
    console.print(table)
    key = "tokens_per_second" if "mfu" in lean else "tokens_per_cpu_second"
    gain = lean[key] / trl[key]
    console.print(f"{gain:.2f} times TRL (goal {GOAL}): {'met' if gain >= GOAL else 'missed'}")
    return gain >= GOAL


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--rows", type=int, default=480)
    parser.add_argument("--batch-size", type=int, default=0, help="0: 16, or 8192 tokens on a GPU")
    parser.add_argument("--warm", type=int, default=3, help="steps that are not measured")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--shape", choices=SHAPES, default="small")
    parser.add_argument("--model", default="")
    parser.add_argument("--peak", type=float, default=0.0, help="TFLOP/s of a GPU not known here")
    parser.add_argument("--worker", choices=WORKERS, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        print(json.dumps(work(arguments)))
        return
    sys.exit(0 if show(measure(arguments)) else 1)


if __name__ == "__main__":
    main()
