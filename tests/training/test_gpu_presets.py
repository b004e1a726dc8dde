"""What the presets for a GPU cost: parameters that the repository has to hold, and minutes."""

import dataclasses

import torch

from bigmodel.image_classification import config as classifiers
from bigmodel.image_classification.model import ImageClassificationModel
from bigmodel.nn.transformer import CausalLM, EncoderDecoder
from bigmodel.object_detection import config as detectors
from bigmodel.object_detection.model import ObjectDetectionModel
from bigmodel.text_generation import config as writers
from bigmodel.text_to_image import config as painters
from bigmodel.text_to_image.model import DiffusionTransformer
from bigmodel.training import benchmark
from bigmodel.translation import config as translators


def translator(config):
    decoder = dataclasses.replace(config.transformer, num_hidden_layers=config.decoder_layers)
    return EncoderDecoder(config.transformer, decoder)


MAKE = {
    painters: lambda config: DiffusionTransformer(config.shape),
    translators: translator,
    writers: lambda config: CausalLM(config.transformer),
    classifiers: lambda config: ImageClassificationModel(config.transformer, len(config.labels)),
    detectors: lambda config: ObjectDetectionModel(config.transformer, len(config.labels)),
}


def presets():
    """Return name -> (configuration, parameters)."""
    found = {}
    for module, make in MAKE.items():
        for name, preset in module.PRESETS.items():
            if name.endswith("-gpu"):
                with torch.device("cpu" if module is detectors else "meta"):  # which begins with numbers of its own
                    found[name] = preset(), sum(p.numel() for p in make(preset()).parameters())
    return found


def test_all_together_fit_the_repository_and_a_quarter_of_an_hour():
    found = presets()
    assert len(found) == 8
    parameters = {name: count / 1e6 for name, (_, count) in found.items()}
    limits = {"emoji": 25, "multilingual": 31, "stories": 20, "poetry": 20, "photos": 4, "fashion": 1}
    limits |= {"scenes": 2.2, "blood-cells": 2.2}
    assert all(parameters[f"{name}-gpu"] <= most for name, most in limits.items()), parameters
    assert 80 < sum(parameters.values()) <= 97, parameters
    assert 10 < sum(config.settings.max_minutes for config, _ in found.values()) <= 15


def test_they_save_by_the_clock_and_read_ahead_and_no_other_does():
    for module in MAKE:
        for name, preset in module.PRESETS.items():
            settings, gpu = preset().settings, name.endswith("-gpu")
            assert (settings.workers > 0) == (settings.save_seconds is not None) == gpu


def test_the_benchmark_trains_the_preset_s_shape():
    assert dataclasses.replace(writers.stories_gpu().transformer, dropout=0.0) == benchmark.SHAPE
