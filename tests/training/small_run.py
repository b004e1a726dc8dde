"""A tiny training run, as a program too, so that tests can kill it and start it under torchrun.

python small_run.py FOLDER '{"max_steps": 40}' [PAUSE]
"""

import json
import sys
import time
from pathlib import Path

import numpy as np
import torch

from bigmodel.config import TransformerConfig
from bigmodel.nn.transformer import CausalLM
from bigmodel.training.loop import Trainer
from bigmodel.training.settings import TrainingSettings
from bigmodel.training.windows import TokenWindows

SETTINGS = {
    "max_steps": 40,
    "accumulation": 2,
    "ema": 0.9,
    "bf16": False,
    "log_every": 5,
    "save_every": 5,
    "validate_every": 20,
}


class SlowWindows(TokenWindows):
    """Windows that take their time, so that a kill finds the run alive."""

    pause = 0.0

    def batch(self, *args):
        time.sleep(self.pause)
        return super().batch(*args)


def make_trainer(folder, *, pause=0.0, dropout=0.1, batch_size=4, hidden_size=16, **settings):
    """Return a Trainer of 4,000 tokens with a pattern, which a model of 2 layers learns."""
    torch.manual_seed(3)
    shape = {"num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 8, "max_position_embeddings": 16}
    config = TransformerConfig(
        vocab_size=16,
        hidden_size=hidden_size,
        intermediate_size=24,
        num_hidden_layers=2,
        dropout=dropout,
        **shape,
    )
    tokens = np.cumsum(np.random.default_rng(0).integers(1, 3, 4000)) % 16
    data = SlowWindows([(tokens, 1)], length=16, batch_size=batch_size, seed=5)
    data.pause = pause
    inputs, labels = torch.from_numpy(tokens[:320]).view(20, 16), torch.from_numpy(tokens[1:321]).view(20, 16)
    return Trainer(
        CausalLM(config),
        data,
        TrainingSettings(**{**SETTINGS, **settings}),
        folder,
        validate=lambda model: {"loss": model.loss(inputs, labels).item()},
    )


def main(folder, settings="{}", pause="0"):
    """Run and write the result beside the run."""
    torch.set_num_threads(1)
    trainer = make_trainer(folder, pause=float(pause), **json.loads(settings))
    result = trainer.run()
    if trainer.rank == 0:
        Path(folder, "result.json").write_text(json.dumps(result))
    if trainer.world > 1:
        torch.distributed.destroy_process_group()


if __name__ == "__main__":
    main(*sys.argv[1:])
