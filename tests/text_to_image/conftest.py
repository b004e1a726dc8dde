"""Corpora of pictures with names, as small as they can be."""

import io

import pytest
from PIL import Image


def _as_row(picture, split, **values):
    file, subject = io.BytesIO(), picture.subject
    Image.fromarray(picture.image).save(file, "png")
    row = {"image": file.getvalue(), "name": subject.name, "tone": subject.tone, "style": picture.style}
    words = ", ".join([subject.name, *subject.keywords])
    return {**row, "keywords": words, "codepoints": picture.codepoints, "split": split, **values}


@pytest.fixture(scope="session")
def as_row():
    """Return a function of a Picture, a split and other values that returns a row, as data.read_pictures reads it."""
    return _as_row


@pytest.fixture(scope="session")
def write_corpus():
    """Return a function of a path and rows of ``as_row`` that writes a parquet file."""
    parquet = pytest.importorskip("pyarrow.parquet")
    import pyarrow

    return lambda path, rows: parquet.write_table(pyarrow.Table.from_pylist(rows), path)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory, emoji_pictures, write_corpus, as_row):
    """A parquet of five things in two styles; one is kept from every training, some are tests."""
    from bigmodel.text_to_image.data import VALID_SHARE, _is_valid

    rows = [as_row(picture, "train") for picture in emoji_pictures]
    tones = (f"tone {i}" for i in range(100 * VALID_SHARE))
    kept = [tone for tone in tones if _is_valid({"name": "penguin", "style": "noto", "tone": tone})][:3]
    rows += [as_row(emoji_pictures[4], "train", tone=tone) for tone in kept]
    rows += [as_row(picture, "test_style", style="fluent") for picture in emoji_pictures[:4]]
    rows += [as_row(picture, "test_tone", tone="dark skin tone") for picture in emoji_pictures[:2]]
    rows += [as_row(picture, "test_name", name=f"unheard {i}") for i, picture in enumerate(emoji_pictures[:3])]
    path = tmp_path_factory.mktemp("corpus") / "made-up.parquet"
    write_corpus(path, rows)
    return path
