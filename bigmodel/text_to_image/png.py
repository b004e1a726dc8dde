"""PNG files that know how they were made: settings in text chunks, written, and read back from files of strangers."""

import io
import re
import struct
import zlib

from PIL import Image, PngImagePlugin

from bigmodel.errors import InputError

# keywords of the text chunks; a value is written as people would write it
KEYS = ("prompt", "model", "seed", "steps", "guidance", "sampler", "variation_of", "strength")
MAX_BYTES = 4_000_000  # of a file that is read: ours have some kilobytes, enlarged ones ten times as many
MAX_TEXT = 4000  # bytes of a value
SIGNATURE = b"\x89PNG\r\n\x1a\n"
FIELD = "picture"  # what messages call the file


def texts(settings):
    """Return {keyword: text} of a picture's settings; what is None is left out."""
    return {key: str(settings[key]) for key in KEYS if settings.get(key) is not None}


def encode(pixels, settings):
    """Return pixels (height, width, 3) uint8 as a PNG file with a picture's settings, see KEYS, in its text chunks."""
    info = PngImagePlugin.PngInfo()
    for key, text in {"Software": "BigModel", **texts(settings)}.items():
        info.add_itxt(key, text)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def read(data):
    """Return {keyword of KEYS: text} of a PNG file: what it says, which may be anything, and nothing else of it.

    Its pixels are not decoded, compressed texts are passed over, and of a keyword that comes twice the first counts.

    Args:
        data: bytes.

    Raises:
        InputError: it is no PNG, is damaged or too large, or says nothing of how it was made.
    """
    if len(data) > MAX_BYTES:
        raise InputError(FIELD, f"{len(data)} bytes; the limit is {MAX_BYTES}")
    if not data.startswith(SIGNATURE):
        raise InputError(FIELD, "is no PNG file")
    found = {}
    for kind, body in _chunks(data):
        key, text = _text(kind, body)
        if key not in KEYS or key in found:
            continue
        if len(text) > MAX_TEXT:
            raise InputError(FIELD, f"its {key} has {len(text)} bytes; the limit is {MAX_TEXT}")
        try:
            found[key] = text.decode("utf-8" if kind == b"iTXt" else "latin-1")
        except UnicodeDecodeError as error:
            raise InputError(FIELD, "is damaged") from error
    if not found:
        raise InputError(FIELD, "says nothing of how it was made; give one that was made here")
    return found


def _chunks(data):
    """Yield (kind, body) of the text chunks of a PNG file.

    Raises:
        InputError: it ends early, or a checksum differs.
    """
    at = len(SIGNATURE)
    while True:
        if at + 12 > len(data):
            raise InputError(FIELD, "is damaged")
        length, kind = struct.unpack_from(">I4s", data, at)
        end = at + 8 + length
        if end + 4 > len(data):
            raise InputError(FIELD, "is damaged")
        if kind == b"IEND":
            return
        if kind in (b"tEXt", b"iTXt"):
            if zlib.crc32(data[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
                raise InputError(FIELD, "is damaged")
            yield kind, data[at + 8 : end]
        at = end + 4


def _text(kind, body):
    """Return the keyword and the undecoded text of a chunk; ("", b"") of one that is compressed or broken.

    Source: W3C, Portable Network Graphics (Third Edition), 11.3.3.
    """
    key, _, rest = body.partition(b"\0")
    key = key[:80].decode("latin-1")
    if kind == b"tEXt":
        return key, rest
    compressed, parts = rest[:1] != b"\0", rest[2:].split(b"\0", 2)  # language, translated keyword, text
    return ("", b"") if compressed or len(parts) < 3 else (key, parts[2])


def file_name(prompt, seed):
    """Return a name for a picture's file, such as "a-cat-face-noto-style-7.png"."""
    words = re.sub(r"[\W_]+", "-", prompt).strip("-")[:48].strip("-")
    return f"{words or 'picture'}-{seed}.png"
