"""Weights and configurations as Hugging Face files: a CausalLM as Qwen3's, an EncoderDecoder as T5's."""

import math
from contextlib import contextmanager
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save

from bigmodel.config import TransformerConfig, read_json, write_json
from bigmodel.errors import ModelFolderError
from bigmodel.nn.transformer import CausalLM, EncoderDecoder

# our layer's part -> its place in T5's layer and its name there; the feed-forward part is the last
_T5_PARTS = {
    "input_layernorm": "layer.0.layer_norm",
    **{f"self_attn.{n}_proj": f"layer.0.SelfAttention.{n}" for n in "qkvo"},
    "cross_attn_layernorm": "layer.1.layer_norm",
    **{f"cross_attn.{n}_proj": f"layer.1.EncDecAttention.{n}" for n in "qkvo"},
    "post_attention_layernorm": "layer.{last}.layer_norm",
    "mlp.gate_proj": "layer.{last}.DenseReluDense.wi_0",
    "mlp.up_proj": "layer.{last}.DenseReluDense.wi_1",
    "mlp.down_proj": "layer.{last}.DenseReluDense.wo",
}


def save_pretrained(model, folder, *, dtype=torch.bfloat16, extra=None):
    """Write config.json and model.safetensors, which a stock class of transformers reads.

    Args:
        model: CausalLM, for ``Qwen3ForCausalLM``, or EncoderDecoder, for ``T5ForConditionalGeneration``.
        folder: made where missing.
        dtype: of the stored weights.
        extra: dict added to config.json, such as {"bigmodel": {...}}.
    """
    if isinstance(model, EncoderDecoder):
        config, state = model.encoder.config.to_t5(model.decoder.config), t5_state(model)
    else:
        config, state = model.config.to_qwen3(), model.state_dict()
        if model.config.tie_word_embeddings:  # left out, as Hugging Face does
            del state["lm_head.weight"]
    write_weights(folder, {**config, **(extra or {})}, state, dtype=dtype)


def write_weights(folder, config, state, *, dtype):
    """Write config.json and model.safetensors.

    Args:
        folder: made where missing.
        config: dict.
        state: dict of tensors, stored as they are named.
        dtype: of the stored weights.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    state = {name: weight.detach().to("cpu", dtype).contiguous() for name, weight in state.items()}
    # what safetensors writes itself, nobody else may read
    (folder / "model.safetensors").write_bytes(save(state, metadata={"format": "pt"}))
    write_json(folder / "config.json", {**config, "dtype": str(dtype).removeprefix("torch.")})


def read_weights(folder):
    """Return the config.json and the weights, in float32, that write_weights wrote.

    Raises:
        ConfigError, ModelFolderError: a file is missing or broken.
    """
    values, tensors = read_json(Path(folder) / "config.json"), read_tensors(folder)
    return values, {name: weight.float() for name, weight in tensors.items()}


def read_tensors(folder):
    """Return the tensors of a folder's model.safetensors, as they are stored.

    Raises:
        ModelFolderError: the file is missing or broken.
    """
    path = Path(folder) / "model.safetensors"
    try:
        return load_file(path)
    except FileNotFoundError as error:
        raise ModelFolderError(f"{path} is missing") from error
    except (SafetensorError, OSError) as error:
        raise ModelFolderError(f"{path} cannot be read: {error}") from error


@contextmanager
def fitting(folder):
    """Name the folder whose weights are loaded meanwhile, where they do not fit.

    Raises:
        ModelFolderError: they are not those of its config.json, or a model's of another version.
    """
    try:
        yield
    except RuntimeError as error:
        said = str(error).strip().splitlines()[-1].strip()
        raise ModelFolderError(f"{folder}: its weights fit neither its config.json nor this version; {said}") from error


def from_pretrained(folder):
    """Read the folder that save_pretrained wrote and return a CausalLM or an EncoderDecoder in evaluation mode.

    Raises:
        ConfigError, ModelFolderError: a file is missing or broken, config.json lacks a key, or the weights do not fit.
    """
    values, state = read_weights(folder)
    if values.get("model_type") == "t5":
        model = EncoderDecoder(*TransformerConfig.from_t5(values))
    else:
        model = CausalLM(TransformerConfig.from_qwen3(values))
    with fitting(folder):
        return load_weights(model, state)


def load_weights(model, state):
    """Load weights under Hugging Face's names into a CausalLM or an EncoderDecoder; returns it, ready to evaluate."""
    if isinstance(model, EncoderDecoder):
        state = from_t5_state(model, state)
    elif model.config.tie_word_embeddings:
        state = {**state, "lm_head.weight": state["model.embed_tokens.weight"]}
    model.load_state_dict(state)
    return model.eval()


def load_fitting(model, state):
    """Load the weights whose names and shapes a model has; the others, such as a head for other labels, stay fresh."""
    own = model.state_dict()
    fitting = {name: weight for name, weight in state.items() if name in own and own[name].shape == weight.shape}
    model.load_state_dict(fitting, strict=False)


def t5_state(model):
    """Return an EncoderDecoder's weights under T5's names.

    T5 neither divides scores by sqrt(head_dim) nor leaves the decoder's output as it is: it divides that by
    sqrt(hidden_size). Both factors go into weights; they are powers of two where the sizes are powers of four.
    """
    return {theirs: model.state_dict()[ours] * factor for ours, theirs, factor in _t5_names(model)}


def from_t5_state(model, state):
    """Return the weights that ``t5_state`` gave, under the names of an EncoderDecoder like ``model``."""
    ours = {ours: state[theirs] / factor for ours, theirs, factor in _t5_names(model)}
    shared = {f"{part}.weight": state["shared.weight"] for part in ("decoder.embed_tokens", "lm_head")}
    return {**ours, **shared}


def _t5_names(model):
    """Yield (our name, T5's name, factor) of each weight, the shared embedding once."""
    yield "encoder.embed_tokens.weight", "shared.weight", 1.0
    config = model.encoder.config
    for stack, layers in (("encoder", model.encoder.layers), ("decoder", model.decoder.layers)):
        cross, scale = stack == "decoder", math.sqrt(config.hidden_size) if stack == "decoder" else 1.0
        bias = "block.0.layer.0.SelfAttention.relative_attention_bias"
        yield f"{stack}.relative_embed.weight", f"{stack}.{bias}.weight", 1.0
        yield f"{stack}.norm.weight", f"{stack}.final_layer_norm.weight", scale
        for i in range(len(layers)):
            for ours, theirs in _T5_PARTS.items():
                if ours.startswith("cross") and not cross:
                    continue
                factor = config.head_dim**-0.5 if ours.endswith("q_proj") else 1.0
                theirs = theirs.format(last=1 + cross)
                yield f"{stack}.layers.{i}.{ours}.weight", f"{stack}.block.{i}.{theirs}.weight", factor
