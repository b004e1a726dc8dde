"""``python -m bigmodel train text_to_image``: from pictures with names to weights."""

import dataclasses
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

from bigmodel.config import write_json
from bigmodel.text_to_image.compositions import Composer
from bigmodel.text_to_image.config import PRESETS
from bigmodel.text_to_image.data import (
    CaptionedBatches,
    character,
    collate,
    load_tokenizer,
    read_pictures,
    resized,
)
from bigmodel.text_to_image.model import make_model, save_model, shape_of
from bigmodel.training import command
from bigmodel.training.facts import keep_facts
from bigmodel.training.loop import Trainer
from bigmodel.training.state import load_state
from bigmodel.training.tokenizer import save_tokenizer

BATCH = 256  # validation pictures measured together
DEFAULTS = {"num_inference_steps": 10, "guidance_scale": 3.0, "sampler": "heun"}


def add_arguments(parser):
    """Add the options of ``train text_to_image``."""
    command.add_arguments(parser, PRESETS)
    parser.add_argument(
        "--train", help="your own pictures instead of the preset's: a parquet file, see data.read_pictures"
    )


def run(arguments):
    """Train, or go on from the run's checkpoint, and write ``<out>/model``."""
    return command.run(train, configure(arguments), "text_to_image", arguments)


def configure(arguments):
    """Return the preset with the command line's changes."""
    config = command.configure(PRESETS, arguments)
    if arguments.train:
        config = dataclasses.replace(config, corpus=command.own_corpus(arguments.train))
    if arguments.init_from:
        config = dataclasses.replace(config, init_from=arguments.init_from, shape=shape_of(arguments.init_from))
    return config


def train(config, data, folder, *, preset_name=None):
    """Train a configuration's model.

    Args:
        config: TextToImageConfig.
        data: folder of the corpus.
        folder: the run's; gets checkpoints, log, plot, and the model folder ``model``.
        preset_name: of the preset that it began with, for the model card.

    Returns:
        dict: the last validation: "loss", the velocity's mean squared error on pictures kept from the training.
    """
    data, folder = Path(data), Path(folder)
    corpus, size = data / config.corpus, config.shape.sample_size
    pictures, valid = (read_pictures(corpus, split, size) for split in ("train", "valid"))
    composer = Composer(pictures, config.things, size, config.counts, config.in_order)
    tokenizer = load_tokenizer(config, pictures, folder / "tokens", corpus)
    batches = CaptionedBatches(config, pictures, composer, tokenizer)
    model = make_model(config, tokenizer.get_vocab_size())
    held_out = validation_batch(config, valid, composer, tokenizer)
    trainer = Trainer(model, batches, config.settings, folder, validate=lambda model: measure(model, held_out))
    with plain_attention(trainer.device):
        result = trainer.run()
    if trainer.rank == 0:
        trainer.model.load_state_dict(load_state(folder / "best.pt")["model"])
        write_folder(config, trainer.model, tokenizer, pictures, composer, folder / "model")
        corpora = [(config.corpus, "train", 1, len(pictures)), (config.corpus, "valid", 1, len(valid))]
        keep_facts(config, trainer, corpora, data, preset=preset_name)
    return result


def plain_attention(device):
    """Return a context where a CPU's attention is two products: for so few tokens the fused one is slower backwards."""
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def validation_batch(config, valid, composer, tokenizer):
    """Return the same pictures, times and noise for every validation: half from the corpus, half composed."""
    rng, size = np.random.default_rng(10_000), config.shape.sample_size
    scenes = [composer.draw(rng, held_out=i % 2 == 0, count=2) for i in range(len(valid))]
    images = [resized(picture.image, size) for picture in valid] + [composer.compose(scene, rng) for scene in scenes]
    captions = [picture.caption for picture in valid] + [scene.caption for scene in scenes]
    batch = collate(np.stack(images), captions, tokenizer, config.shape.max_tokens)
    times = torch.from_numpy(((np.arange(len(images)) + 0.5) / len(images))[rng.permutation(len(images))]).float()
    noise = torch.from_numpy(rng.standard_normal(batch[0].shape, np.float32))
    return *batch, times, noise


def measure(model, batch):
    """Return {"loss": the velocity's mean squared error} of a batch of ``validation_batch``."""
    device = next(model.parameters()).device
    parts = zip(*(tensor.split(BATCH) for tensor in batch), strict=True)
    losses = [model.loss(*(tensor.to(device) for tensor in part)).item() * len(part[0]) for part in parts]
    return {"loss": sum(losses) / len(batch[0])}


def write_folder(config, model, tokenizer, pictures, composer, folder):
    """Write a model folder without its ONNX files: weights, configuration, tokenizer, names of emoji, defaults."""
    about = {
        "task": "text_to_image",
        "name": config.name,
        "title": config.title,
        "description": config.description,
        "languages": ["en", "zh"] if any(picture.subject.chinese for picture in pictures) else ["en"],
        "styles": sorted({picture.style for picture in pictures}),
        "things": sorted(composer.subjects),
    }
    save_model(model, folder, about=about)
    save_tokenizer(tokenizer, folder)
    write_json(folder / "generation_config.json", DEFAULTS)
    names = {character(picture.codepoints): picture.subject.name for picture in pictures if picture.codepoints}
    write_json(folder / "emoji.json", dict(sorted(names.items())))
