"""A causal language model's weights and configuration as Hugging Face files."""

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from bigmodel.config import TransformerConfig, read_json, write_json
from bigmodel.nn.transformer import CausalLM


def save_pretrained(model, folder, *, dtype=torch.bfloat16, extra=None):
    """Write config.json and model.safetensors, which the stock ``Qwen3ForCausalLM.from_pretrained`` reads.

    Args:
        model: CausalLM; a tied head is left out, as Hugging Face does.
        folder: made where missing.
        dtype: of the stored weights.
        extra: dict added to config.json, such as {"bigmodel": {...}}.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: weight.detach().to("cpu", dtype).contiguous() for name, weight in model.state_dict().items()}
    if model.config.tie_word_embeddings:
        del state["lm_head.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    config = {**model.config.to_qwen3(), "dtype": str(dtype).removeprefix("torch.")}
    write_json(folder / "config.json", {**config, **(extra or {})})


def from_pretrained(folder, *, dtype=torch.float32):
    """Read the folder that save_pretrained wrote and return a CausalLM in evaluation mode.

    Raises:
        ConfigError: config.json is missing or lacks a key.
        RuntimeError: the weights do not fit the configuration.
    """
    folder = Path(folder)
    model = CausalLM(TransformerConfig.from_qwen3(read_json(folder / "config.json")))
    state = load_file(folder / "model.safetensors")
    if model.config.tie_word_embeddings:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state)
    return model.to(dtype).eval()
