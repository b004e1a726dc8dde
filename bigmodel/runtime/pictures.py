"""A visitor's picture: opened without trust, and prepared as the training's pictures were.

A picture's size is read before any of it is decoded, and what is too large is refused. A large JPEG is decoded at a
fraction of its size, and every other format is made smaller at once, so that memory stays flat.
"""

import io
import re
import stat
import struct
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from bigmodel.config import read_json
from bigmodel.errors import BigModelError, InputError, ModelFolderError

# format -> its share of the pixels; the last two hold a picture several times while it is decoded
SHARES = {"JPEG": 1, "PNG": 1, "BMP": 1, "GIF": 0.672, "WEBP": 0.336}
LIGHT_MODES = ("1", "L", "RGB", "YCbCr")  # the limit of others, which take more memory on their way, is half of it
MAX_SIDE = 30_000  # pixels
KEPT_SIDE = 2048  # pixels; what is larger is made smaller
FITS = ("crop", "pad")
FIELD = "image"  # of the request, in messages
UNREADABLE = f"cannot be read as a picture; give a whole {', '.join(SHARES)} file"
WHITE = (255, 255, 255, 255)
SCANS = 200  # of a JPEG; a progressive one has some ten, and each is decoded over the whole picture
MARKERS, FILLING = 2000, 64  # of a JPEG, and bytes before one
COMMENT = 16_384  # bytes of a GIF's comments, which Pillow joins piece by piece, and of what is nothing
_MARKER = re.compile(rb"\xff(?=[^\x00\xd0-\xd7])\xff*")  # the beginning of one, of which a scan's data have none
_BARE = b"\x00\x01\xd0\xd1\xd2\xd3\xd4\xd5\xd6\xd7\xd8"  # markers without a length, and what is no marker
_UNREAD = b"\xc8" + bytes(range(0xF0, 0xFE))  # markers of nothing, whose length Pillow does not take for one
# EXIF's orientation -> how a picture that is stored so stands upright
TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


@dataclass(frozen=True)
class PictureLimits:
    """How large a picture may be.

    Attributes:
        pixels: its width times its height, in most formats; see SHARES and LIGHT_MODES.
        bytes: of its file.
    """

    pixels: int = 25_000_000
    bytes: int = 16_000_000


USUAL = PictureLimits()


@dataclass(frozen=True)
class Picture:
    """An opened picture.

    Attributes:
        pixels: (height, width, 3) uint8, RGB, upright.
        size: (width, height) of the whole picture, upright, before it was made smaller.
        notes: keys of what was done to it: "first_frame" of an animation, "on_white" for what was transparent,
            "turned" as its EXIF data say, "made_smaller".
    """

    pixels: np.ndarray
    size: tuple
    notes: tuple = ()


def open_picture(source, limits=USUAL):
    """Open a picture.

    Args:
        source: encoded bytes, a path, a PIL image, or an array (height, width[, 1, 3 or 4]) of uint8.
        limits: PictureLimits.

    Returns:
        Picture, its longer side at most KEPT_SIDE.

    Raises:
        InputError: it is none, is broken, or is larger than the limits.
    """
    if isinstance(source, np.ndarray):
        source = _from_array(source)
    try:
        if isinstance(source, Image.Image):
            return _finish(source, source.format, limits, owned=False)
        data = _read(source, limits.bytes)
        _refuse_traps(data)
        with Image.open(io.BytesIO(data), formats=list(SHARES)) as picture:
            return _finish(picture, picture.format, limits)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise InputError(FIELD, f"has more than {limits.pixels / 1e6:g} million pixels") from error
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, OverflowError, struct.error) as error:
        raise InputError(FIELD, UNREADABLE) from error


@contextmanager
def naming(path):
    """Let what is wrong with a picture name its file."""
    try:
        yield
    except InputError as error:
        if error.field != FIELD:
            raise
        raise BigModelError(f"{path}: {error}") from error


def _read(source, longest):
    if isinstance(source, str | Path):
        try:
            about = Path(source).stat()
            if not stat.S_ISREG(about.st_mode):
                raise InputError(FIELD, "cannot be read")
            if about.st_size > longest:
                raise InputError(FIELD, f"is larger than {longest / 1e6:g} MB")
            return Path(source).read_bytes()
        except FileNotFoundError as error:  # a page's upload is swept away after a while
            raise InputError(FIELD, "is gone, or was never there; give it again") from error
        except (OSError, ValueError) as error:
            raise InputError(FIELD, "cannot be read") from error
    if not isinstance(source, bytes):
        raise InputError(FIELD, "is missing; give a picture")
    if len(source) > longest:
        raise InputError(FIELD, f"is larger than {longest / 1e6:g} MB")
    return source


def _refuse_traps(data):
    """Refuse small files that would take minutes or gigabytes to open.

    Raises:
        InputError: a JPEG with many scans, markers or filling, or more than one part of EXIF data, a PNG with more than
            one colour profile, or a GIF with long comments or much of nothing.
    """
    if data.startswith(b"\xff\xd8"):
        trap = _is_jpeg_trap(data)
    elif data.startswith(b"\x89PNG"):
        trap = data.count(b"iCCP") > 1 and _profiles(data) > 1  # Pillow inflates each
    else:
        trap = data.startswith(b"GIF8") and _comment_bytes(data) > COMMENT
    if trap:
        raise InputError(FIELD, UNREADABLE)


def _is_jpeg_trap(data):
    """Whether a JPEG has, up to its end, too many scans, markers or filling, or several parts of EXIF data."""
    at, scans, parts = 2, 0, 0
    for _ in range(MARKERS):
        found = _MARKER.search(data, at)
        if not found or (marker := data[found.end() : found.end() + 1]) in (b"", b"\xd9"):
            return not scans or scans > SCANS or parts > 1  # Pillow goes on beyond an end before any scan
        if found.end() - found.start() > FILLING or marker in _UNREAD:
            return True
        at = found.end() + 1
        if marker not in _BARE:
            scans += marker == b"\xda"
            parts += marker == b"\xe1" and data[at + 2 : at + 8] == b"Exif\0\0"
            at += int.from_bytes(data[at : at + 2], "big")
    return True


def _profiles(data):
    """Return how many colour profiles a PNG has."""
    at, count = 8, 0
    while at + 8 <= len(data):
        count += data[at + 4 : at + 8] == b"iCCP"
        at += 12 + int.from_bytes(data[at : at + 4], "big")
    return count


def _comment_bytes(data):
    """Return how many bytes of comments a GIF has, of nothing, and parts of extensions, as far as they are too many."""
    colours = lambda flags: 3 << (flags & 7) + 1 if flags & 0x80 else 0  # noqa: E731
    count = 0
    try:
        at = 13 + colours(data[10])
        while data[at] != 0x3B and count <= COMMENT:
            kind, comment = data[at], data[at] == 0x21 and data[at + 1] == 0xFE
            if kind not in (0x21, 0x2C):
                at, count = at + 1, count + 1
                continue
            at += 2 if kind == 0x21 else 11 + colours(data[at + 9])
            while (size := data[at]) and count <= COMMENT:
                count += size if comment else kind == 0x21
                at += size + 1
            at += 1
    except IndexError:  # cut off
        pass
    return count


def _orientation(exif):
    """Return the orientation, 1 to 8, that EXIF data name, else 1; Pillow would copy what a tag points at for each."""
    exif = exif.removeprefix(b"Exif\0\0")
    order = {b"II": "<", b"MM": ">"}.get(exif[:2])
    try:
        start = struct.unpack_from(f"{order}I", exif, 4)[0]
        for i in range(struct.unpack_from(f"{order}H", exif, start)[0]):
            tag, kind = struct.unpack_from(f"{order}HH", exif, start + 2 + 12 * i)
            if tag == 0x0112 and kind in (3, 4):
                value = struct.unpack_from(order + {3: "H", 4: "I"}[kind], exif, start + 10 + 12 * i)[0]
                return value if value in TURNS else 1
    except struct.error:
        pass
    return 1


def _from_array(array):
    if array.dtype != np.uint8 or array.ndim not in (2, 3) or not array.size:
        raise InputError(FIELD, "is not an array (height, width, 3) of uint8")
    array = array[:, :, 0] if array.ndim == 3 and array.shape[2] == 1 else array
    if array.ndim == 3 and array.shape[2] not in (3, 4):
        raise InputError(FIELD, f"has {array.shape[2]} channels; give 1, 3 or 4")
    return Image.fromarray(array)


def _finish(picture, kind, limits, owned=True):
    """Decode, make smaller, turn upright and convert; ``kind`` is the format, None for what has none.

    A picture that is not ``owned`` keeps its size.
    """
    width, height = picture.size
    kind = "JPEG" if kind == "MPO" else kind  # which begins with a JPEG, and goes on with others
    limit = limits.pixels * SHARES.get(kind, 1) // (1 if picture.mode in LIGHT_MODES else 2)
    if width * height > limit or max(width, height) > MAX_SIDE:
        raise InputError(FIELD, f"is {width}x{height} pixels; at most {limit / 1e6:.3g} million, {MAX_SIDE:,} a side")
    notes = ["first_frame"] * (kind != "JPEG" and getattr(picture, "is_animated", False))
    source = picture
    if max(width, height) > KEPT_SIDE:
        notes.append("made_smaller")
        if owned:
            picture.draft(None, (min(width, KEPT_SIDE), min(height, KEPT_SIDE)))  # JPEG alone can
    if picture.mode.startswith("I") or picture.mode == "F":
        picture = Image.fromarray((np.asarray(picture).clip(0, 65535) // 257).astype(np.uint8))  # 16 bits
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
    elif picture.mode in ("P", "1"):
        picture = picture.convert("RGB" if picture.mode == "P" else "L")
    picture = picture.reduce(-(-max(picture.size) // KEPT_SIDE))
    if picture.mode == "RGBA" and picture.getextrema()[3][0] < 255:
        notes.append("on_white")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, WHITE), picture)
    picture = picture.convert("RGB")
    exif = source.info.get("exif", b"")  # of some formats once it is decoded
    if (orientation := _orientation(exif if isinstance(exif, bytes) else b"")) in TURNS:
        notes.append("turned")
        picture = picture.transpose(TURNS[orientation])
    size = (height, width) if orientation >= 5 else (width, height)  # these lie on their sides
    return Picture(np.asarray(picture), size, tuple(notes))


@dataclass(frozen=True)
class Placement:
    """Where a picture went in what the model sees.

    Attributes:
        box: (left, top, right, bottom) of the picture's pixels that are seen; as floats.
        at: (left, top, right, bottom) where they went.
    """

    box: tuple
    at: tuple

    def forth(self, boxes):
        """Map boxes (count, 4) of left, top, right, bottom in the picture to the model's pixels."""
        return self._map(boxes, self.box, self.at)

    def back(self, boxes):
        """Map boxes (count, 4) in the model's pixels to the picture's."""
        return self._map(boxes, self.at, self.box)

    @staticmethod
    def _map(boxes, source, target):
        boxes = np.asarray(boxes, np.float64).reshape(-1, 4)
        source, target = np.asarray(source, np.float64), np.asarray(target, np.float64)
        scale = (target[2:] - target[:2]) / (source[2:] - source[:2])
        return (boxes - np.tile(source[:2], 2)) * np.tile(scale, 2) + np.tile(target[:2], 2)


@dataclass(frozen=True)
class Preparation:
    """How pictures are made fit for a model; what preprocessor_config.json says.

    Attributes:
        size: (height, width) of what the model sees.
        mean, std: of each channel, in 0..1; one channel is grey.
        ground: what the training's pictures have at their edges, a level (0..255) a channel; None where they differ.
    """

    size: tuple
    mean: tuple
    std: tuple
    ground: tuple | None = None

    @classmethod
    def read(cls, path):
        """Read preprocessor_config.json.

        Raises:
            ConfigError, ModelFolderError: the file is missing, is not JSON, or lacks a key.
        """
        values = read_json(path)
        try:
            size = values["size"]["height"], values["size"]["width"]
            ground = values.get("ground")
            return cls(size, tuple(values["image_mean"]), tuple(values["image_std"]), ground and tuple(ground))
        except (KeyError, TypeError) as error:
            raise ModelFolderError(f"{path} lacks {error.args[0]}") from error

    def see(self, pixels, fit="crop"):
        """Return a picture as the model sees it, and its Placement.

        Args:
            pixels: (height, width, 3) uint8.
            fit: "crop" cuts the middle out, "pad" shows all, on the training's ground or its mean.

        Returns:
            seen: (channels, height, width) uint8.
            placement: Placement.
        """
        picture = Image.fromarray(pixels)
        if len(self.mean) == 1:
            picture = picture.convert("L")
        rows, columns = self.size
        placement = place(picture.size, (columns, rows), fit)
        left, top, right, bottom = placement.at
        if picture.size != (columns, rows) or fit == "pad":
            whole = (right - left, bottom - top)
            picture = picture.resize(whole, Image.Resampling.BICUBIC, box=placement.box)
        array = np.asarray(picture).reshape(bottom - top, right - left, -1)
        colour = self.ground or [round(255 * mean) for mean in self.mean]
        seen = np.empty((rows, columns, len(self.mean)), np.uint8)
        seen[:] = np.asarray(colour, np.uint8)
        seen[top:bottom, left:right] = array
        return np.ascontiguousarray(seen.transpose(2, 0, 1)), placement

    def normalise(self, seen):
        """Return uint8 pictures (..., channels, height, width) as float32: 0..1, less the mean, by the deviation."""
        mean, std = (np.asarray(values, np.float32).reshape(-1, 1, 1) for values in (self.mean, self.std))
        return (seen.astype(np.float32) / np.float32(255) - mean) / std


def place(size, target, fit):
    """Return the Placement of a picture in a target, both (width, height), by "crop" or "pad".

    Raises:
        InputError: another ``fit``.
    """
    if fit not in FITS:
        raise InputError("fit", f"{str(fit)[:40]!r} is unknown; choose one of {', '.join(FITS)}")
    scales = [t / s for s, t in zip(size, target, strict=True)]
    scale = (max if fit == "crop" else min)(scales)
    box, at = [0.0, 0.0, *map(float, size)], [0, 0, *target]
    for axis in range(2):
        scaled = max(1, round(size[axis] * scale))
        if fit == "crop":
            scaled = max(scaled, target[axis])
            first = (scaled - target[axis]) // 2
            box[axis], box[axis + 2] = (edge * size[axis] / scaled for edge in (first, first + target[axis]))
        else:
            first = (target[axis] - scaled) // 2
            at[axis], at[axis + 2] = first, first + scaled
    return Placement(tuple(box), tuple(at))
