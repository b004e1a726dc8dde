"""What a training run is told, apart from its model and its data."""

from dataclasses import dataclass, replace

from bigmodel.errors import ConfigError


@dataclass(frozen=True)
class TrainingSettings:
    """How to optimise, for how long, and what to record.

    Attributes:
        max_steps: optimiser steps; None for no limit of steps.
        max_minutes: minutes spent in training, resumed runs added up; None for no limit of time.
        accumulation: batches summed for one optimiser step.
        learning_rate: peak, of both optimisers.
        muon: matrices of the layers by Muon, everything else by AdamW; False is AdamW for all.
        weight_decay: of matrices; vectors and the embedding have none.
        betas: of AdamW.
        warmup: share of the run in which the rate rises from 0.
        final_rate: the rate at the end, as a share of the peak; cosine in between.
        clip: longest gradient, in its 2-norm.
        ema: decay of the averaged weights, in (0, 1); None keeps none. Validation and the result use them.
        bf16: matrix products in bfloat16 by autocast, where the processor multiplies it fast; else in float32.
        compile: torch.compile; costs up to a minute once, pays in long runs.
        log_every, validate_every, save_every: in steps.
        save_seconds: save after so many seconds instead; only where a step is fast. None saves by steps.
        workers: processes that make the batches ahead; 0 makes each when it is needed.
        seed: of weights, data order and dropout.
    """

    max_steps: int | None = None
    max_minutes: float | None = None
    accumulation: int = 1
    learning_rate: float = 3e-3
    muon: bool = True
    weight_decay: float = 0.1
    betas: tuple[float, float] = (0.9, 0.95)
    warmup: float = 0.02
    final_rate: float = 0.02
    clip: float = 1.0
    ema: float | None = None
    bf16: bool = True
    compile: bool = False
    log_every: int = 10
    validate_every: int = 500
    save_every: int = 100
    save_seconds: float | None = None
    workers: int = 0
    seed: int = 1

    def __post_init__(self):
        if self.max_steps is None and self.max_minutes is None:
            raise ConfigError("training needs max_steps or max_minutes")
        for name in ("max_steps", "max_minutes"):
            if getattr(self, name) is not None and getattr(self, name) <= 0:
                raise ConfigError(f"{name} is {getattr(self, name)}; it must be positive")
        if not 0 <= self.seed < 2**63 or not self.learning_rate > 0:
            raise ConfigError("seed must be from 0 to 2**63 - 1, and the learning rate more than 0")
        if self.save_every % self.log_every:
            raise ConfigError("save_every must be a multiple of log_every: only checked losses are saved")


def on_gpu(settings, minutes, *, workers, **changes):
    """Return settings for a GPU: its steps are short, so that batches are made ahead and saving goes by the clock."""
    return replace(settings, max_minutes=minutes, workers=workers, save_seconds=60.0, **changes)
