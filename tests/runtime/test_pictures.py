"""A visitor's picture: a right result or a clear answer, memory that stays flat, and the training's preparation."""

import io
import struct
import subprocess
import sys
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image, ImageOps

from bigmodel.config import write_json
from bigmodel.errors import BigModelError, InputError
from bigmodel.runtime.pictures import SCANS, Preparation, open_picture, place

RGB = Preparation((32, 32), (0.5, 0.4, 0.3), (0.2, 0.25, 0.3))
GREY = Preparation((28, 28), (0.286,), (0.353,), (0,))


def encoded(picture, kind="PNG", **options):
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def gradient(height, width):
    rows, columns = np.mgrid[:height, :width]
    return np.stack([rows * 255 // height, columns * 255 // width, (rows + columns) % 256], -1).astype(np.uint8)


def frames(kind):
    red, blue = (Image.new("RGB", (20, 10), colour) for colour in ("red", "blue"))
    return encoded(
        red, kind, save_all=True, append_images=[blue], duration=100, **{"WEBP": {"lossless": True}}.get(kind, {})
    )


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright: a quarter turn clockwise shows it so
    picture = Image.new("RGB", (64, 32), "red")
    picture.paste("blue", (0, 0, 32, 32))
    return encoded(picture, "JPEG", exif=exif, quality=95)


def twice(jpeg):
    """A JPEG whose EXIF data stand there twice."""
    start = jpeg.index(b"\xff\xe1")
    end = start + 2 + int.from_bytes(jpeg[start + 2 : start + 4], "big")
    return jpeg[:end] + jpeg[start:end] + jpeg[end:]


def test_a_plain_picture_comes_as_it_is(tmp_path):
    pixels = gradient(30, 40)
    (tmp_path / "a.png").write_bytes(encoded(Image.fromarray(pixels)))
    for source in (
        tmp_path / "a.png",
        str(tmp_path / "a.png"),
        encoded(Image.fromarray(pixels)),
        pixels,
        Image.fromarray(pixels),
    ):
        found = open_picture(source)
        np.testing.assert_array_equal(found.pixels, pixels)
        assert found.notes == ()


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_first_frame_of_an_animation(kind):
    found = open_picture(frames(kind))
    assert found.notes == ("first_frame",) and found.pixels.shape == (10, 20, 3)
    np.testing.assert_allclose(found.pixels[5, 5], (255, 0, 0), atol=2)


def test_cmyk():
    found = open_picture(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG", quality=95))
    assert found.pixels[4, 4, 0] > 200 and found.pixels[4, 4, 1:].max() < 60


@pytest.mark.parametrize("level", [0, 100, 30_000, 65_535])
def test_sixteen_bits(level):
    found = open_picture(encoded(Image.fromarray(np.full((5, 5), level, np.uint16))))
    assert abs(int(found.pixels[2, 2, 0]) - level / 257) <= 1 and found.pixels.shape == (5, 5, 3)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_transparent_is_white(mode):
    picture = Image.new("RGBA", (8, 8), (255, 0, 0, 0))
    picture.paste((0, 0, 0, 255), (0, 0, 4, 8))
    picture = picture.convert(mode) if mode != "P" else picture.quantize(4)
    found = open_picture(encoded(picture))
    assert found.notes == ("on_white",)
    assert found.pixels[4, 1].tolist() == [0, 0, 0] and found.pixels[4, 6].tolist() == [255, 255, 255]


def test_exif_rotation_is_honoured():
    found = open_picture(turned())
    assert found.pixels.shape == (64, 32, 3) and found.notes == ("turned",)
    assert found.pixels[10, 16, 2] > 200 and found.pixels[50, 16, 0] > 200  # blue above, red below


def exif(tags, orientation=6, kind=3):
    """EXIF data with an orientation behind so many tags, all of which point at 100,000 bytes."""
    entry = lambda tag, kind, count, value: struct.pack("<HHII", tag, kind, count, value)  # noqa: E731
    entries = [entry(0x9000 + i, 7, 100_000, 100) for i in range(tags)]
    entries.insert(0, entry(0x0112, kind, 1, orientation))
    return b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", len(entries)) + b"".join(entries) + bytes(100_100)


@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_exif_data_are_not_copied_for_each_tag(kind):
    data = encoded(Image.new("RGB", (64, 32)), kind, exif=exif(3000))
    tracemalloc.start()
    found = open_picture(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.pixels.shape == (64, 32, 3) and peak < 20_000_000


@pytest.mark.parametrize(("data", "turned"), [(exif(0, 9), 0), (exif(0, 6, 2), 0), (exif(0, 6, 4), 1), (b"II*\0", 0)])
def test_only_an_orientation_turns(data, turned):
    found = open_picture(encoded(Image.new("RGB", (64, 32)), "PNG", exif=data))
    assert found.notes == ("turned",) * turned and found.size == ((32, 64) if turned else (64, 32))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_each_orientation_is_pillows(orientation):
    data = Image.Exif()
    data[0x0112] = orientation
    file = encoded(Image.fromarray(gradient(20, 30)), "PNG", exif=data)
    expected = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(file))))
    np.testing.assert_array_equal(open_picture(file).pixels, expected)


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_a_large_scan_in_black_and_white(kind):
    found = open_picture(encoded(Image.new("1", (2480, 3508), 1), kind))
    assert found.notes == ("made_smaller",) and found.pixels.min() == 255


@pytest.mark.parametrize("size", [(1, 1), (10_000, 1), (1, 10_000)])
@pytest.mark.parametrize("fit", ["crop", "pad"])
def test_extreme_shapes(size, fit):
    found = open_picture(encoded(Image.new("RGB", size, "white")))
    for preparation in (RGB, GREY):
        seen, _ = preparation.see(found.pixels, fit)
        assert seen.shape == (len(preparation.mean), *preparation.size) and seen.max() == 255


def test_a_large_jpeg_is_made_smaller():
    data = encoded(Image.new("RGB", (4600, 3400), "red"), "JPEG")
    given = Image.open(io.BytesIO(data))
    for source in (data, given):
        found = open_picture(source)
        assert found.notes == ("made_smaller",) and max(found.pixels.shape) <= 2048
        assert found.pixels.shape[1] / found.pixels.shape[0] == pytest.approx(4600 / 3400, rel=0.01)
    assert given.size == (4600, 3400)  # which boxes are drawn on
    with pytest.raises(InputError, match="image: cannot be read"):
        open_picture(Image.open(io.BytesIO(data[:2000])))


def bomb():
    """A PNG of 9000x9000 pixels in some ten kilobytes."""
    header = b"\0\0\x23\x28\0\0\x23\x28\x01\0\0\0\0"
    chunk = lambda kind, data: len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")  # noqa: E731
    rows = zlib.compress(bytes(1126) * 9000, 9)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def profiles(count):
    """A PNG with so many colour profiles."""
    data = encoded(Image.new("L", (9, 9)))
    name = b"iCCPa\0\0" + zlib.compress(bytes(1 << 20))
    chunk = (len(name) - 4).to_bytes(4, "big") + name + zlib.crc32(name).to_bytes(4, "big")
    return data[:33] + chunk * count + data[33:]


def scans(count):
    """A progressive JPEG whose last scan comes so often."""
    data = encoded(Image.fromarray(gradient(32, 32)), "JPEG", progressive=True)
    return data[:-2] + data[data.rindex(b"\xff\xda") : -2] * (count - 1) + data[-2:]


SVG = b'<svg xmlns="http://www.w3.org/2000/svg" width="9" height="9"><rect width="9" height="9"/></svg>'
BAD = {
    "bomb": (bomb(), "25 million"),
    "truncated": (encoded(Image.fromarray(gradient(300, 300)), "JPEG")[:4000], "cannot be read as a picture"),
    "html": (b"<!doctype html><html><body>hello</body></html>", "cannot be read as a picture"),
    "colour profiles": (profiles(2), "cannot be read as a picture"),
    "scans": (scans(300), "cannot be read as a picture"),
    "EXIF data behind an end": (b"\xff\xd8\xff\xd9" + twice(turned())[2:], "cannot be read as a picture"),
    "EXIF data in what is no segment": (b"\xff\xd8\xff\xf0\xff\xff" + twice(turned())[2:], "cannot be read"),
    "filling": (b"\xff\xd8" + b"\xff" * 70_000 + scans(1)[2:], "cannot be read as a picture"),
    "nothing in a GIF": (encoded(Image.new("L", (9, 9)), "GIF")[:-1] + bytes(100_000) + b";", "cannot be read"),
    "EXIF data twice": (twice(turned()), "cannot be read as a picture"),
    "a comment": (encoded(Image.new("L", (9, 9)), "GIF", comment=b"a" * 20_000), "cannot be read as a picture"),
    "a device": ("/dev/zero", "cannot be read"),
    "no path": ("a\0b", "cannot be read"),
    "svg": (SVG, "cannot be read as a picture"),
    "empty": (b"", "cannot be read as a picture"),
    "nothing": (None, "is missing"),
    "thirty megabytes": (encoded(Image.new("L", (9, 9))) + bytes(30_000_000), "larger than 16 MB"),
    "wide": (encoded(Image.new("1", (30_001, 2))), "30001x2"),
    "an array of floats": (np.zeros((4, 4)), "uint8"),
    "two channels": (np.zeros((4, 4, 2), np.uint8), "2 channels"),
}


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_read_is_said(name):
    source, message = BAD[name]
    with pytest.raises(InputError, match=f"image: .*{message}"):
        open_picture(source)


def test_what_follows_a_jpeg_does_not_count():
    """Telephones put a film after a picture."""
    data = scans(1)
    film = np.random.default_rng(0).integers(0, 256, 12_000_000, np.uint8).tobytes() + b"\xff\xda" * SCANS
    assert (open_picture(data + film).pixels == open_picture(data).pixels).all()


def test_a_missing_file_is_named():
    with pytest.raises(InputError, match="image: is gone, or was never there"):
        open_picture("/nowhere/a.png")


HEAVY = {
    "bomb": bomb,
    "jpeg": lambda: encoded(Image.new("RGB", (5700, 4300), "red"), "JPEG", progressive=True),
    "cmyk": lambda: encoded(Image.new("CMYK", (4000, 3100)), "JPEG", progressive=True),
    "png": lambda: encoded(Image.new("RGB", (5700, 4300), "red")),
    "palette": lambda: encoded(Image.new("P", (4000, 3100)), transparency=0),
    "webp": lambda: encoded(Image.new("RGB", (3600, 2300), "red"), "WEBP", method=0),
    "gif": lambda: encoded(Image.new("P", (2900, 2880)), "GIF"),
    "deep": lambda: encoded(Image.fromarray(np.full((3500, 3500), 999, np.uint16))),
}


@pytest.mark.parametrize("name", HEAVY)
def test_memory_stays_flat(name, tmp_path):
    (tmp_path / "heavy").write_bytes(HEAVY[name]())
    code = f"""
import resource, numpy as np
from bigmodel.errors import InputError
from bigmodel.runtime.pictures import open_picture
open_picture(np.zeros((9, 9, 3), np.uint8))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
try:
    open_picture({str(tmp_path / "heavy")!r})
except InputError:
    assert {name == "bomb"}
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 200e6


@pytest.mark.parametrize("shape", [(32, 32), (28, 28), (50, 33), (33, 50), (200, 300), (7, 90), (2, 2), (2000, 1500)])
@pytest.mark.parametrize("preparation", [RGB, GREY], ids=["colour", "grey"])
def test_equals_the_training_s_preparation(shape, preparation):
    torch = pytest.importorskip("torch")
    from bigmodel.training.pictures import decode, fit, normalise

    data = encoded(Image.fromarray(gradient(*shape)))
    theirs = fit(decode(data, "L" if len(preparation.mean) == 1 else "RGB"), preparation.size).transpose(2, 0, 1)
    seen, _ = preparation.see(open_picture(data).pixels)
    assert np.abs(seen.astype(int) - theirs).max() <= 1
    expected = normalise(theirs[None].copy(), list(preparation.mean), list(preparation.std))
    found = torch.from_numpy(preparation.normalise(seen[None]))
    assert (found - expected).abs().max() <= 1.01 / 255 / min(preparation.std)


def test_pad_shows_all_on_the_ground():
    pixels = np.full((40, 80, 3), 200, np.uint8)
    seen, placement = RGB.see(pixels, "pad")
    assert placement.at == (0, 8, 32, 24)
    assert (seen[:, 8:24] == 200).all() and (seen[:, :8] == np.array([[[128]], [[102]], [[76]]])).all()
    assert (GREY.see(pixels, "pad")[0][:, :7] == 0).all()


@given(
    st.tuples(*[st.integers(1, 3000)] * 4),
    st.sampled_from(["crop", "pad"]),
    st.lists(st.floats(-50, 4000), min_size=4, max_size=4),
)
def test_boxes_come_back(sizes, fit, box):
    placement = place(sizes[:2], sizes[2:], fit)
    np.testing.assert_allclose(placement.back(placement.forth([box]))[0], box, atol=1e-6 * max(sizes))
    np.testing.assert_allclose(placement.forth([placement.box])[0], placement.at, atol=1e-6 * max(sizes))
    if fit == "pad":
        assert placement.box == (0, 0, *sizes[:2])
    else:
        assert placement.at == (0, 0, *sizes[2:])


def test_unknown_fit_and_broken_settings(tmp_path):
    with pytest.raises(InputError, match="fit: 'squash' is unknown; choose one of crop, pad"):
        RGB.see(np.zeros((9, 9, 3), np.uint8), "squash")
    write_json(tmp_path / "p.json", {"size": {"height": 3}})
    with pytest.raises(BigModelError, match="p.json lacks width"):
        Preparation.read(tmp_path / "p.json")
