"""Serving imports no torch; only a fresh interpreter can tell."""

import subprocess
import sys

import pytest

HEAVY = ("torch", "transformers", "onnx", "huggingface_hub", "pyarrow", "matplotlib")


@pytest.mark.parametrize(
    "module",
    [
        "bigmodel.runtime.batching",
        "bigmodel.runtime.artifacts",
        "bigmodel.text_generation.runtime",
        "bigmodel.text_generation.generate",
        "bigmodel.image_classification.classify",
        "bigmodel.text_to_image.draw",
    ],
)
def test_serving_imports_no_torch(module):
    code = f"import sys, {module}; print(*(name for name in {HEAVY} if name in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_the_command_line_imports_next_to_nothing():
    code = "import sys, bigmodel.cli; print(*(n for n in ('numpy', 'onnxruntime', 'tokenizers') if n in sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == []


def test_writing_imports_no_torch(tiny_stories):
    code = (
        "import sys; from bigmodel.text_generation.runtime import TextGenerator;"
        f"print(TextGenerator.from_pretrained({str(tiny_stories)!r}, providers='cpu').generate(['Once']));"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], capture_output=True, check=True)
