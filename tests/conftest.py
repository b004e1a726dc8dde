"""Tiny random models, exported once for all tests."""

import dataclasses
import os
from contextlib import contextmanager

os.environ.setdefault("BIGMODEL_THREADS", "1")

import pytest
from hypothesis import settings

settings.register_profile("busy machine", max_examples=50, deadline=None)
settings.load_profile("busy machine")

ENGLISH = """Once upon a time there was a little fox who lived in the wood. The quick brown fox jumps over the lazy dog.
"Good morning," said the fox to the crow, "what a fine piece of cheese you have!" And the crow said nothing at all.
Café, naïve, 春眠不觉晓 🦊 — the fox reads everything.
"""
POEMS = [
    "床前明月光，疑是地上霜。举头望明月，低头思故乡。",
    "春眠不觉晓，处处闻啼鸟。夜来风雨声，花落知多少。",
    "白日依山尽，黄河入海流。欲穷千里目，更上一层楼。",
    "朝辞白帝彩云间，千里江陵一日还。两岸猿声啼不住，轻舟已过万重山。",
    "何处秋冬夏？谁人不识君！",
]


@contextmanager
def torch_on_one_thread():
    """Several would wait for each other where the machine is busy."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@pytest.fixture
def one_thread():
    """torch on one thread."""
    with torch_on_one_thread():
        yield


@pytest.fixture
def without_compiling():
    """torch.compile leaves a model as it is: to compile takes minutes."""
    import torch

    with torch._dynamo.config.patch(disable=True):
        yield


def make_model_folder(folder, tokenizer, card, *, exact=False, endless=False, max_length=64):
    """Write an exported random model: the CPU graph quantised as it is shipped, or ``exact``, with float weights.

    ``endless``: its texts never end by themselves.
    """
    import torch
    from safetensors.torch import load_file, save_file

    from bigmodel.config import TransformerConfig, read_json, write_json
    from bigmodel.nn.transformer import CausalLM
    from bigmodel.runtime.artifacts import write_manifest
    from bigmodel.training.tokenizer import save_tokenizer
    from export.graph import save
    from export.text_generation import CPU_GRAPH, DecoderGraph
    from export.to_onnx import export as export_model
    from export.weights import DenseWeights

    source = folder / "checkpoint"
    source.mkdir(parents=True)
    save_tokenizer(tokenizer, source)
    config = TransformerConfig(
        vocab_size=tokenizer.get_vocab_size(),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=32,
        max_position_embeddings=max_length,
    )
    torch.manual_seed(0)
    model = CausalLM(config)
    with torch.no_grad():
        model.model.embed_tokens.weight.mul_(10)  # livelier than a flat distribution
        for layer in model.model.layers:  # and than repeating the last token, as tied embeddings would
            layer.self_attn.o_proj.weight.mul_(20)
            layer.mlp.down_proj.weight.mul_(20)
    weights = {name: w.contiguous() for name, w in model.state_dict().items() if name != "lm_head.weight"}
    save_file(weights, source / "model.safetensors", metadata={"format": "pt"})
    values = {**config.to_qwen3(), "bos_token_id": 0, "eos_token_id": 0}
    write_json(source / "config.json", {**values, "bigmodel": {"task": "text_generation", **card}})
    defaults = {"eos_token_id": 0, "temperature": 0.8, "top_k": 40, "top_p": 0.95, "max_new_tokens": 24}
    if endless:
        defaults["suppress_tokens"] = [0]
    write_json(source / "generation_config.json", defaults)
    out = folder / card["name"]
    with torch_on_one_thread():
        export_model(source, out)
    if exact:
        tensors = {name: w.float().numpy() for name, w in load_file(out / "model.safetensors").items()}
        values = read_json(out / "config.json")
        save(DecoderGraph(TransformerConfig.from_qwen3(values), DenseWeights(tensors)).build(), out / CPU_GRAPH)
        write_manifest(out)
    return out


@pytest.fixture(scope="session")
def plain_tokenizer():
    """Byte pairs of a few English sentences."""
    from bigmodel.training.tokenizer import train_bpe

    return train_bpe(ENGLISH.splitlines(keepends=True), vocab_size=320)


@pytest.fixture(scope="session")
def tiny_stories(tmp_path_factory, plain_tokenizer):
    """Folder of a random plain model, quantised as it is shipped."""
    card = {"name": "tiny-stories", "format": "plain", "title": "Tiny stories", "languages": ["en"]}
    return make_model_folder(tmp_path_factory.mktemp("stories"), plain_tokenizer, card, endless=True)


@pytest.fixture(scope="session")
def tiny_exact(tmp_path_factory, plain_tokenizer):
    """Folder of the same model whose CPU graph has float weights, for comparisons with other engines."""
    card = {"name": "tiny-exact", "format": "plain", "title": "Tiny exact", "languages": ["en"]}
    return make_model_folder(tmp_path_factory.mktemp("exact"), plain_tokenizer, card, exact=True)


@pytest.fixture(scope="session")
def tiny_poetry(tmp_path_factory):
    """Folder of a random poetry model."""
    from bigmodel.text_generation.poetry import SPECIAL_TOKENS
    from bigmodel.training.tokenizer import train_characters

    tokenizer = train_characters(POEMS, vocab_size=200, special_tokens=SPECIAL_TOKENS)
    card = {"name": "tiny-poetry", "format": "poetry", "title": "Tiny poetry", "languages": ["zh"]}
    return make_model_folder(tmp_path_factory.mktemp("poetry"), tokenizer, card, max_length=96)


@pytest.fixture(scope="session")
def stories(tiny_stories):
    """A TextGenerator of tiny_stories."""
    from bigmodel.text_generation.runtime import TextGenerator

    return TextGenerator.from_pretrained(tiny_stories)


@pytest.fixture(scope="session")
def poems(tiny_poetry):
    """A TextGenerator of tiny_poetry."""
    from bigmodel.text_generation.runtime import TextGenerator

    return TextGenerator.from_pretrained(tiny_poetry)


PAIRS = [
    ("A man rides a red bike.", "Ein Mann fährt auf einem roten Fahrrad."),
    ("Two dogs play in the snow.", "Zwei Hunde spielen im Schnee."),
    ("She bought 12 apples at www.shop.de!", "Sie kaufte 12 Äpfel bei www.shop.de!"),
    ("春天来了。", "Der Frühling ist da."),
]


@pytest.fixture(scope="session")
def make_translator(tmp_path_factory):
    """Return a function that writes an exported random translator and returns its folder."""
    import torch

    from bigmodel.config import TransformerConfig
    from bigmodel.nn.transformer import EncoderDecoder
    from bigmodel.training.tokenizer import END_OF_TEXT, train_bpe
    from bigmodel.translation.config import TranslationConfig
    from bigmodel.translation.data import direction_token
    from bigmodel.translation.placeholders import TOKENS
    from bigmodel.translation.train import save_model
    from export.to_onnx import export

    def make(recipe):
        directions = (("en", "de"), ("de", "en"))
        special = (END_OF_TEXT, *TOKENS, *(direction_token(*d) for d in directions))
        tokenizer = train_bpe((text for pair in PAIRS for text in pair), vocab_size=384, special_tokens=special)
        shape = TransformerConfig(
            vocab_size=-(-tokenizer.get_vocab_size() // 64) * 64,
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=32,
            max_position_embeddings=64,
            qk_norm=False,
            relative_attention_num_buckets=16,
        )
        torch.manual_seed(0)
        model = EncoderDecoder(shape, shape).eval()
        with torch.no_grad():
            for name, weight in model.named_parameters():
                if weight.dim() == 2:
                    weight.mul_(6 if "embed_tokens" in name else 2.5)  # livelier than a flat distribution
        config = TranslationConfig(
            name="tiny",
            title="Tiny",
            description="",
            directions=directions,
            train=(),
            valid=(),
            transformer=shape,
            decoder_layers=2,
            batch_tokens=1,
            max_length=1,
            label_smoothing=0.0,
            settings=None,
        )
        folder = tmp_path_factory.mktemp(recipe)
        save_model(config, model, tokenizer, folder / "checkpoint")
        with torch_on_one_thread():
            export(folder / "checkpoint", folder / "tiny", recipe)
        return folder / "tiny"

    return make


@pytest.fixture(scope="session")
def exact_folder(make_translator):
    return make_translator("fp32")


@pytest.fixture(scope="session")
def quantized_folder(make_translator):
    return make_translator("int8")


@pytest.fixture(scope="session")
def make_classifier(tmp_path_factory):
    """Return a function of a name, channels and a recipe that writes an exported random classifier of three labels."""
    import torch

    from bigmodel.config import VisionConfig
    from bigmodel.image_classification.config import Augmentation, ImageClassificationConfig
    from bigmodel.image_classification.model import ImageClassificationModel
    from bigmodel.image_classification.train import write_folder
    from export.to_onnx import export

    def make(name, channels=3, recipe="int8"):
        shape = VisionConfig(
            image_size=(16, 24),
            num_channels=channels,
            stem_channels=(8, 16),
            stem_strides=(2, 2),
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=3,
            num_attention_heads=2,
        )
        torch.manual_seed(0)
        model = ImageClassificationModel(shape, 3).eval()
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(3) if parameter.dim() > 1 else parameter.add_(0.2 * torch.randn_like(parameter))
        for module in model.stem:
            module.running_mean.uniform_(-0.2, 0.2)
            module.running_var.uniform_(0.5, 2)
        model.familiar.mean, model.familiar.whitening = torch.rand(16), torch.eye(16) + 0.1 * torch.randn(16, 16)
        config = ImageClassificationConfig(
            name=name,
            title=name.title(),
            description="",
            corpus="",
            labels=None,
            transformer=shape,
            held_out=1,
            batch_size=1,
            augmentation=Augmentation(),
            label_smoothing=0.0,
            settings=None,
        )
        found = {"temperature": 0.5, "distance_threshold": 1.0}
        found["ground"] = [0] if channels == 1 else None
        folder = tmp_path_factory.mktemp(name)
        statistics = [0.4] * channels, [0.25] * channels
        write_folder(config, model, ["cat", "dog", "bag"], *statistics, found, folder / "checkpoint")
        with torch_on_one_thread():
            export(folder / "checkpoint", folder / name, recipe)
        return folder / name

    return make


@pytest.fixture(scope="session")
def tiny_photos(make_classifier):
    """Folder of a random classifier of colour pictures, quantised as it is shipped."""
    return make_classifier("tiny-photos")


@pytest.fixture(scope="session")
def tiny_fashion(make_classifier):
    """Folder of a random classifier of grey pictures on a dark ground."""
    return make_classifier("tiny-fashion", channels=1)


@pytest.fixture(scope="session")
def tiny_detector(tmp_path_factory):
    """Folder of a random detector of two labels, with float weights, whose scores are about a half."""
    import numpy as np
    import torch

    from bigmodel.config import VisionConfig
    from bigmodel.object_detection.config import blood_cells
    from bigmodel.object_detection.data import Corpus, Picture
    from bigmodel.object_detection.model import ObjectDetectionModel
    from bigmodel.object_detection.train import write_folder
    from export.to_onnx import export

    shape = VisionConfig(
        image_size=(32, 48),
        num_channels=3,
        stem_channels=(8, 16),
        stem_strides=(4, 2),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
    )
    torch.manual_seed(0)
    model = ObjectDetectionModel(shape, 2, repeats=2).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(3) if parameter.dim() > 1 else parameter.add_(0.2 * torch.randn_like(parameter))
        model.heads.class_labels_classifier.bias.zero_()
        model.heads.bbox_predictor["fc2"].weight.normal_(std=0.3)
    noise = np.random.default_rng(0).integers(0, 256, (32, 48, 3)).astype(np.uint8)
    valid = [Picture(noise, np.array([[0.1, 0.1, 0.5, 0.5]], np.float32), np.array([0]))]
    config = dataclasses.replace(blood_cells(), name="tiny-detector", title="Tiny detector")
    folder = tmp_path_factory.mktemp("detector")
    with torch_on_one_thread():
        write_folder(
            config, model, Corpus(None, valid, ["star", "balloon"], [0.5] * 3, [0.25] * 3), folder / "checkpoint"
        )
        export(folder / "checkpoint", folder / "tiny-detector", "fp32")
    return folder / "tiny-detector"


@pytest.fixture(scope="session")
def emoji_pictures():
    """List of text_to_image.data.Picture: five things in two styles, of 32 x 32 pixels."""
    import numpy as np
    from PIL import Image, ImageDraw

    from bigmodel.text_to_image.captions import Subject
    from bigmodel.text_to_image.data import Picture

    things = (
        ("cat face", "猫脸", ("cat", "pet"), "1f431"),
        ("rose", "玫瑰", ("flower", "pet"), "1f339"),
        ("rocket", "火箭", ("space", "flower"), "1f680"),
        ("mushroom", "蘑菇", ("space", "cat"), "1f344"),
        ("penguin", "企鹅", ("bird", "space"), "1f427"),
    )
    found = []
    for style, draw in (("noto", "ellipse"), ("fluent", "rectangle")):
        for i, (name, chinese, keywords, codepoints) in enumerate(things):
            picture = Image.new("RGB", (32, 32), "white")
            box = (4 + i, 6, 27, 25 - i)
            getattr(ImageDraw.Draw(picture), draw)(box, fill=(40 * i, 200 - 40 * i, 90), outline=(30, 30, 30))
            found.append(Picture(np.asarray(picture), Subject(name, chinese, keywords), style, codepoints))
    return found


@pytest.fixture(scope="session")
def tiny_emoji(tmp_path_factory, emoji_pictures):
    """Folder of a random image generator of 32 x 32 pixels, quantised as it is shipped."""
    import torch

    from bigmodel.config import TransformerConfig
    from bigmodel.text_to_image.compositions import Composer
    from bigmodel.text_to_image.config import DiffusionConfig, emoji
    from bigmodel.text_to_image.data import make_tokenizer
    from bigmodel.text_to_image.model import make_model
    from bigmodel.text_to_image.train import write_folder
    from export.to_onnx import export

    def stack(**values):
        return TransformerConfig(
            hidden_size=64,
            intermediate_size=96,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=2,
            head_dim=32,
            **values,
        )

    text = stack(vocab_size=1, max_position_embeddings=16, qk_norm=False, relative_attention_num_buckets=8)
    shape = DiffusionConfig(32, 8, 16, text, stack(vocab_size=0, max_position_embeddings=16))
    config = dataclasses.replace(emoji(), name="tiny-emoji", title="Tiny emoji", shape=shape)
    tokenizer = make_tokenizer(emoji_pictures)
    model = make_model(config, tokenizer.get_vocab_size()).eval()
    with torch.no_grad():  # livelier than what begins at 0
        for name, weight in model.named_parameters():
            if "modulation" in name or name.startswith("proj_out"):
                weight.normal_(std=0.1)
    composer = Composer(emoji_pictures, config.things, 32)
    folder = tmp_path_factory.mktemp("emoji")
    with torch_on_one_thread():
        write_folder(config, model, tokenizer, emoji_pictures, composer, folder / "checkpoint")
        export(folder / "checkpoint", folder / "tiny-emoji")
    return folder / "tiny-emoji"
