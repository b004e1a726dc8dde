"""A model to be scored: by torch, or by ONNX Runtime as it is served. Both answer the same two calls.

predict(ids, keep)                     logits (keep, vocab_size) of the token after each of the last ``keep`` ids
generate(prompts, seeds, **sampling)   the texts that follow
"""

import numpy as np
import torch

from bigmodel.nn.cache import KVCache
from bigmodel.nn.checkpoint import from_pretrained
from bigmodel.runtime import engines
from bigmodel.runtime.artifacts import ModelFolder
from bigmodel.runtime.sampling import DEFAULTS, Sampler
from bigmodel.runtime.tokenizer import Tokenizer
from bigmodel.text_generation.poetry import START
from bigmodel.text_generation.runtime import TextGenerator


def open_engine(name, folder, provider=None):
    """Open a model by one of runtime.engines.ENGINES; see runtime.engines.open_engine.

    Raises:
        ModelFolderError, ConfigError: the folder is not what the engine needs.
        ProviderError: the provider cannot be had.
    """
    engines.check(name, folder, provider)
    return TorchEngine(folder) if name == "torch" else OnnxEngine(folder, provider)


class OnnxEngine:
    """The exported model, by the class that serves it.

    Attributes:
        name: "onnx-cpu", "onnx-cuda" …: the provider that the session really has.
        tokenizer: runtime.tokenizer.Tokenizer.
        context: tokens that the model sees at once.
        defaults: the sampling of generation_config.json.
    """

    def __init__(self, folder, provider=None):
        self.generator = TextGenerator.from_pretrained(folder, providers=[provider] if provider else None)
        self.name = f"onnx-{self.generator.provider}"
        self.tokenizer, self.context = self.generator.tokenizer, self.generator.context
        self.defaults = self.generator.defaults

    def predict(self, ids, keep):
        """See the module."""
        return self.generator.batch.run_alone(lambda decoder, slot: decoder.prefill(slot, ids, keep))

    def generate(self, prompts, seeds, **sampling):
        """See the module."""
        return self.generator.generate(prompts, seeds=seeds, **sampling)


class TorchEngine:
    """The weights of a folder in torch, float32, with a plain decoding loop. Attributes as OnnxEngine's."""

    def __init__(self, folder):
        opened, self.name = ModelFolder.unchecked(folder, TextGenerator.task), "torch"
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.model = from_pretrained(opened.path).to(self.device)
        self.tokenizer = Tokenizer(opened.file("tokenizer.json"))
        self.context = opened.config["max_position_embeddings"]
        self.defaults = {name: opened.generation_config.get(name, value) for name, value in DEFAULTS.items()}
        self.end = self.tokenizer.vocabulary[START]
        padding = range(len(self.tokenizer.token_bytes), opened.config["vocab_size"])  # rows without a token
        special = set(self.tokenizer.special) - {self.end}
        self.suppressed = sorted({*opened.generation_config.get("suppress_tokens", special), *padding})

    def predict(self, ids, keep):
        """See the module."""
        with torch.inference_mode():
            hidden = self.model.model(torch.tensor(np.asarray(ids)[None], device=self.device))
            return self.model.lm_head(hidden[0, -keep:]).float().cpu().numpy()

    def generate(self, prompts, seeds, **sampling):
        """See the module. One text after the other, each as long as the context at most."""
        with torch.inference_mode():
            return [self._generate(p, s, **{**self.defaults, **sampling}) for p, s in zip(prompts, seeds, strict=True)]

    def _generate(self, prompt, seed, *, max_new_tokens, **sampling):
        sampler, cache, new = Sampler(**sampling, seed=seed), KVCache(), []
        fed = [self.end, *self.tokenizer.encode(prompt)]
        for _ in range(min(max_new_tokens, self.context + 1 - len(fed))):
            logits = self.model(torch.tensor([fed], device=self.device), cache=cache)[0, -1].float().cpu().numpy()
            logits[self.suppressed] = -np.inf
            token = sampler(logits)
            if token == self.end:
                break
            new.append(token)
            fed = [token]
        return self.tokenizer.decode(new)
