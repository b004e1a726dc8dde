"""``python -m bigmodel benchmark training``: our step and the stock transformers' step, in turn, and the matrix peak.

Both sides train a Qwen3 of the same shape on the same random batches, in bfloat16 by autocast over float32 weights (in
float32 where the processor has no fast bfloat16), and clip the gradient. Ours is the Trainer's whole step as ``train``
runs it: torch.compile, the loss in pieces, Muon for the matrices and AdamW for the rest. Stock is the plain loop:
model(input_ids, labels).loss, backward, AdamW (fused); with --compile-stock it is compiled, too. Compilation is not
timed. At the end our step is taken apart: the next batch, forward and backward, the optimiser; a checkpoint is saved.
"""

import dataclasses
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from bigmodel.config import TransformerConfig, write_json
from bigmodel.errors import BigModelError
from bigmodel.nn.transformer import CausalLM
from bigmodel.training.loop import Trainer
from bigmodel.training.optimizer import has_fast_bf16
from bigmodel.training.peers import wait_for
from bigmodel.training.settings import TrainingSettings

# of the preset stories-gpu
SHAPE = TransformerConfig(
    vocab_size=8192,
    hidden_size=448,
    intermediate_size=1216,
    num_hidden_layers=6,
    num_attention_heads=7,
    num_key_value_heads=7,
    head_dim=64,
    max_position_embeddings=1024,
)
# (rows, inner, columns) of products that reach a device's peak
_PEAK_SHAPES = {
    "cpu": ((2048, 2048, 2048), (4096, 2048, 2048), (4096, 4096, 1024)),
    "cuda": ((8192, 8192, 8192), (16384, 4096, 8192), (4096, 4096, 4096)),
}


@dataclasses.dataclass
class RandomBatches:
    """Random tokens: a step's cost does not depend on which tokens it reads."""

    rows: int
    window: int
    vocab_size: int

    @property
    def tokens_per_step(self):
        """Tokens of a batch."""
        return self.rows * self.window

    def batch(self, step, rank=0, world=1):
        """Return input_ids and labels, (rows, window) int64 each."""
        generator = torch.Generator().manual_seed(step)
        ids = torch.randint(self.vocab_size, (self.rows, self.window + 1), generator=generator)
        return ids[:, :-1].contiguous(), ids[:, 1:].contiguous()


def flops_per_token(config, window):
    """Return the multiplications and additions that a token needs, forward and backward.

    Six for each weight of a matrix product, the head's included and the embedding's look-up not; and for each pair of
    positions that the causal mask lets meet. Recomputation and the optimiser do not count.

    Source: Chowdhery et al. 2022, arXiv:2204.02311, appendix B.
    """
    width, narrow = config.num_attention_heads * config.head_dim, config.num_key_value_heads * config.head_dim
    attention = config.hidden_size * (2 * width + 2 * narrow)
    layer = attention + 3 * config.hidden_size * config.intermediate_size
    weights = config.num_hidden_layers * layer + config.vocab_size * config.hidden_size
    return 6 * weights + 6 * config.num_hidden_layers * width * window


def matrix_peak(device, dtype, repeats):
    """Return the most that matrix products of a type reach here, in GFLOP/s; the first of each shape only warms up."""
    best, products = 0.0, 10 if device.type == "cuda" else 1  # one is too short for the clock of a GPU's host
    for rows, inner, columns in _PEAK_SHAPES[device.type]:
        a = torch.randn(rows, inner, device=device, dtype=dtype)
        b = torch.randn(inner, columns, device=device, dtype=dtype)

        def multiply(a=a, b=b):
            for _ in range(products):
                torch.mm(a, b)

        seconds = [_timed(multiply, device) for _ in range(repeats + 1)][1:]
        best = max(best, products * 2 * rows * inner * columns / min(seconds) / 1e9)
    return best


def _timed(function, device):
    wait_for(device)
    started = time.perf_counter()
    function()
    wait_for(device)
    return time.perf_counter() - started


def our_trainer(config, data, accumulation, folder):
    """Return a Trainer with the settings of a preset."""
    cuda = torch.cuda.is_available()
    more = {"ema": 0.99, "workers": 2} if cuda else {}
    settings = TrainingSettings(max_steps=10**6, accumulation=accumulation, compile=True, **more)
    trainer = Trainer(CausalLM(config), data, settings, folder)
    trainer.model.train()
    return trainer


def parts_of_a_step(trainer, rounds):
    """Return the median seconds of what a step does, each part waited for: what limits it.

    Args:
        trainer: Trainer that has taken steps; its batch is as large as they were.
        rounds: steps.

    Returns:
        dict: "data", until the next batches are on the device; "forward and backward"; "optimiser", clipping and
        averaging included; and "saving", of one checkpoint.
    """
    seconds = {name: [] for name in ("data", "forward and backward", "optimiser")}
    next_batch, accumulation = trainer.next_batch, trainer.settings.accumulation
    for _ in range(rounds):
        batches = []
        take = lambda batches=batches: batches.extend(next_batch() for _ in range(accumulation))  # noqa: E731
        seconds["data"].append(_timed(take, trainer.device))
        trainer.next_batch = iter(batches).__next__
        seconds["forward and backward"].append(_timed(trainer.gradients, trainer.device))
        seconds["optimiser"].append(_timed(lambda: trainer.update(1e-3), trainer.device))
    trainer.next_batch = next_batch
    return {
        **{name: statistics.median(times) for name, times in seconds.items()},
        "saving": _timed(trainer.save, trainer.device),
    }


def stock_step(config, data, accumulation, device, compiled):
    """Return a function that takes one step of the stock transformers' Qwen3 in a plain loop."""
    try:
        from transformers import Qwen3Config, Qwen3ForCausalLM
    except ImportError as error:
        raise BigModelError('this comparison needs transformers; try: pip install -e ".[dev]"') from error

    values = {k: v for k, v in config.to_qwen3().items() if k not in ("architectures", "model_type", "dtype")}
    model = Qwen3ForCausalLM(Qwen3Config(**values, use_cache=False)).to(device).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-6, fused=True)
    forward = torch.compile(model) if compiled else model
    count = iter(range(10**9))

    def step():
        for _ in range(accumulation):
            ids, _ = data.batch(next(count))
            ids = ids.to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=has_fast_bf16(device)):
                loss = forward(input_ids=ids, labels=ids).loss / accumulation
            loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    return step


def compare(config, *, rows, window, accumulation, rounds, compile_stock=False):
    """Time both sides in turn and return the figures.

    Args:
        config: TransformerConfig of both.
        rows, window, accumulation: sequences of a batch, tokens of a sequence, batches of a step.
        rounds: steps of each side that count; each side first takes two that do not.
        compile_stock: compile the stock model, too.

    Returns:
        dict of figures: "ours" and "stock" (tokens/s of the median and of the best step, GFLOP/s and share of the peak
        of the median), "ratio" of the medians, "peak_gflops", "parts" of our step, and the conditions.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    dtype = torch.bfloat16 if has_fast_bf16(device) else torch.float32
    data = RandomBatches(rows, window, config.vocab_size)
    tokens, flops = data.tokens_per_step * accumulation, flops_per_token(config, window)
    with tempfile.TemporaryDirectory() as folder:
        trainer = our_trainer(config, data, accumulation, folder)
        steps = {
            "ours": lambda: trainer.take_step(1e-3),
            "stock": stock_step(config, data, accumulation, device, compile_stock),
        }
        for step in steps.values():
            for _ in range(2):
                _timed(step, device)
        seconds, peaks = {name: [] for name in steps}, []
        for _ in range(rounds):
            peaks.append(matrix_peak(device, dtype, 3))
            for name, step in steps.items():
                seconds[name].append(_timed(step, device))
                print(f"{name}: {tokens / seconds[name][-1]:,.0f} tokens/s", file=sys.stderr)
        parts = {name: round(time, 5) for name, time in parts_of_a_step(trainer, rounds).items()}
    peak, result = max(peaks), {}
    for name, times in seconds.items():
        speed = tokens / statistics.median(times)
        result[name] = {
            "tokens_per_second": round(speed, 1),
            "best_tokens_per_second": round(tokens / min(times), 1),
            "gflops": round(speed * flops / 1e9, 1),
            "share_of_peak": round(speed * flops / 1e9 / peak, 4),
        }
    conditions = {
        "device": torch.cuda.get_device_name() if device.type == "cuda" else "cpu",
        "threads": torch.get_num_threads(),
        "precision": str(dtype).removeprefix("torch."),
        "parameters": sum(p.numel() for p in CausalLM(config).parameters()),
        "rows": rows,
        "window": window,
        "accumulation": accumulation,
        "rounds": rounds,
        "stock_compiled": compile_stock,
        "torch": torch.__version__,
    }
    ratio = result["ours"]["tokens_per_second"] / result["stock"]["tokens_per_second"]
    return {**result, "ratio": round(ratio, 3), "peak_gflops": round(peak, 1), "parts": parts, **conditions}


def add_arguments(parser):
    """Add the options of ``benchmark training``."""
    cuda = torch.cuda.is_available()
    parser.add_argument("--rows", type=int, default=128 if cuda else 16, help="sequences of a batch")
    parser.add_argument("--window", type=int, default=1024 if cuda else 256, help="tokens of a sequence")
    parser.add_argument("--accumulation", type=int, default=1 if cuda else 8, help="batches of a step")
    parser.add_argument("--rounds", type=int, default=20 if cuda else 3, help="steps of each side that count")
    parser.add_argument("--threads", type=int, default=os.cpu_count(), help="of the CPU")
    parser.add_argument("--compile-stock", action="store_true", help="compile the stock model, too")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file")


def run(arguments):
    """Compare, print, and write the figures."""
    torch.set_num_threads(arguments.threads)
    names = ("rows", "window", "accumulation", "rounds", "compile_stock")
    result = compare(SHAPE, **{name: getattr(arguments, name) for name in names})
    print(f"{result['parameters'] / 1e6:.1f} M parameters, {result['device']}, {result['threads']} threads")
    precision = result["precision"]
    print(f"ours: Trainer's step, compiled, Muon and AdamW, loss in pieces; {precision}, clipping")
    compiled = "compiled" if result["stock_compiled"] else "not compiled"
    print(f"stock: transformers' Qwen3ForCausalLM, {compiled}, AdamW, its own loss; {precision}, clipping")
    for name in ("ours", "stock"):
        row = result[name]
        speed, best = row["tokens_per_second"], row["best_tokens_per_second"]
        share = f"{row['gflops']:,.0f} GFLOP/s, {row['share_of_peak']:.1%} of the peak"
        print(f"{name:6}{speed:10,.0f} tokens/s (best {best:,.0f}), {share}")
    print(f"ratio {result['ratio']:.2f}; {precision} matrix peak {result['peak_gflops']:,.0f} GFLOP/s")
    parts = ", ".join(f"{name} {1000 * seconds:,.1f} ms" for name, seconds in result["parts"].items())
    print(f"our step: {parts}")
    if arguments.out:
        write_json(arguments.out, result)
    return 0
