"""Tiny random translators, exported once for all tests."""

import pytest

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
                    weight.mul_(8 if "embed_tokens" in name else 3)  # livelier than a flat distribution
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
        threads = torch.get_num_threads()
        torch.set_num_threads(1)  # several would wait for each other
        export(folder / "checkpoint", folder / "tiny", recipe)
        torch.set_num_threads(threads)
        return folder / "tiny"

    return make


@pytest.fixture(scope="session")
def exact_folder(make_translator):
    return make_translator("fp32")


@pytest.fixture(scope="session")
def quantized_folder(make_translator):
    return make_translator("int8")
