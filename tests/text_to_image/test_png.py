"""PNG files that know how they were made: there and back, and what strangers put into them."""

import contextlib
import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, PngImagePlugin

from bigmodel.errors import InputError
from bigmodel.text_to_image import png

PIXELS = np.random.default_rng(0).integers(0, 256, (32, 24, 3)).astype(np.uint8)
SETTINGS = {
    "prompt": 'a cat\nleft of <b>"a" pizza</b>, 蘑菇 🐧',
    "model": "emoji",
    "num_images": 4,
    "seed": 2**32 - 1,
    "steps": 20,
    "guidance": 3.5,
    "sampler": "heun",
    "variation_of": 7,
    "strength": 0.25,
}
HEAD = struct.pack(">II5B", 1, 1, 8, 2, 0, 0, 0)


def chunk(kind, body, checksum=None):
    checksum = zlib.crc32(kind + body) if checksum is None else checksum
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", checksum)


def file(*chunks):
    return png.SIGNATURE + chunk(b"IHDR", HEAD) + b"".join(chunks) + chunk(b"IEND", b"")


def itxt(key, text, compressed=b"\0"):
    return chunk(b"iTXt", key + b"\0" + compressed + b"\0\0\0" + text)


def test_there_and_back():
    data = png.encode(PIXELS, SETTINGS)
    assert png.read(data) == {key: str(SETTINGS[key]) for key in png.KEYS}
    with Image.open(io.BytesIO(data)) as picture:
        np.testing.assert_array_equal(np.asarray(picture), PIXELS)
        assert picture.text["prompt"] == SETTINGS["prompt"] and picture.text["Software"] == "BigModel"


def test_what_is_none_is_left_out_and_an_empty_prompt_is_not():
    found = png.read(png.encode(PIXELS, {"prompt": "", "seed": 0, "variation_of": None}))
    assert found == {"prompt": "", "seed": "0"}


def test_texts_that_another_program_wrote():
    info = PngImagePlugin.PngInfo()
    info.add_text("prompt", "a café")  # Latin-1, uncompressed
    info.add_text("seed", "5")
    info.add_text("steps", "20", zip=True)
    info.add_text("parameters", "a" * 100_000)
    buffer = io.BytesIO()
    Image.fromarray(PIXELS).save(buffer, "PNG", pnginfo=info)
    assert png.read(buffer.getvalue()) == {"prompt": "a café", "seed": "5"}


def test_the_first_of_two_counts():
    assert png.read(file(itxt(b"seed", b"1"), itxt(b"seed", b"2"), chunk(b"tEXt", b"seed\x003")))["seed"] == "1"


BOMB = zlib.compress(b"a" * 50_000_000, 9)
BAD = {
    "empty": (b"", "is no PNG file"),
    "another kind": (b"\xff\xd8\xff\xe0 JFIF", "is no PNG file"),
    "cut in the middle": (png.encode(PIXELS, SETTINGS)[:-40], "is damaged"),
    "no end": (png.SIGNATURE + chunk(b"IHDR", HEAD), "is damaged"),
    "a length of 4 GB": (png.SIGNATURE + struct.pack(">I4s", 2**32 - 1, b"tEXt") + b"seed\x001" * 9, "is damaged"),
    "a wrong checksum": (file(chunk(b"tEXt", b"seed\x001", 0)), "is damaged"),
    "no UTF-8": (file(itxt(b"prompt", b"\xff\xfe\xed\xa0\x80")), "is damaged"),
    "a long prompt": (file(itxt(b"prompt", b"a" * 4001)), "its prompt has 4001 bytes; the limit is 4000"),
    "a bomb": (file(itxt(b"prompt", BOMB, compressed=b"\1"), chunk(b"zTXt", b"seed\0\0" + BOMB)), "says nothing"),
    "no text": (file(), "says nothing of how it was made"),
    "other texts": (file(chunk(b"tEXt", b"Comment\0hello"), itxt(b"", b""), chunk(b"iTXt", b"seed")), "says nothing"),
    "a huge file": (png.SIGNATURE + bytes(png.MAX_BYTES), f"the limit is {png.MAX_BYTES}"),
}


@pytest.mark.parametrize("data, message", BAD.values(), ids=BAD)
def test_hostile_files(data, message):
    with pytest.raises(InputError, match=f"picture: .*{message}"):
        png.read(data)


def test_a_picture_bomb_is_not_decoded():
    head = struct.pack(">II5B", 2**31 - 1, 2**31 - 1, 8, 2, 0, 0, 0)
    data = png.SIGNATURE + chunk(b"IHDR", head) + itxt(b"seed", b"5") + chunk(b"IDAT", BOMB) + chunk(b"IEND", b"")
    assert png.read(data) == {"seed": "5"}


@given(st.binary(max_size=300), st.integers(0, 200))
def test_any_bytes_are_read_or_refused(noise, cut):
    whole = png.encode(PIXELS[:2, :2], {"prompt": "a cat", "seed": 1})
    for data in (png.SIGNATURE + noise, whole[:cut] + noise + whole[cut + len(noise) :], file(chunk(b"iTXt", noise))):
        with contextlib.suppress(InputError):
            assert set(png.read(data)) <= set(png.KEYS)


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("a cat face, noto style", "a-cat-face-noto-style-7.png"),
        ("../../etc/passwd", "etc-passwd-7.png"),
        ("蘑菇，noto风格", "蘑菇-noto风格-7.png"),
        ("🐧", "picture-7.png"),
        ("", "picture-7.png"),
        ("a " * 250, "-".join("a" * 24) + "-7.png"),
    ],
)
def test_names_of_files(prompt, name):
    assert png.file_name(prompt, 7) == name
