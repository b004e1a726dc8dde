"""Just enough of ONNX's file format to see which other files a graph reads, without the onnx package.

Source: github.com/onnx/onnx, onnx.proto3; protobuf.dev/programming-guides/encoding.
"""

import mmap

from bigmodel.errors import ModelFolderError

# message -> field number -> message of that field; whatever is not named here is skipped
_FIELDS = {
    "model": {7: "graph", 20: "training", 25: "function"},
    "training": {1: "graph", 2: "graph"},
    "function": {7: "node", 11: "attribute"},
    "graph": {1: "node", 5: "tensor", 15: "sparse"},
    "node": {5: "attribute"},
    "attribute": {5: "tensor", 6: "graph", 10: "tensor", 11: "graph", 22: "sparse", 23: "sparse"},
    "sparse": {1: "tensor", 2: "tensor"},
    "tensor": {13: "entry"},
    "entry": {1: "key", 2: "value"},
}


def external_data(path):
    """Return what a graph reads from other files: a list of (location, end in bytes), one for each tensor.

    Raises:
        ModelFolderError: the file is empty, cut short, or no ONNX graph.
    """
    try:
        with open(path, "rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            found, kinds = [], set()
            _walk(data, 0, len(data), "model", found, kinds)
    except (ValueError, RecursionError) as error:  # an empty file cannot be mapped
        raise ModelFolderError(f"{path} is cut short, or no ONNX graph") from error
    if "graph" not in kinds:
        raise ModelFolderError(f"{path} is cut short, or no ONNX graph")
    return found


def _walk(data, at, end, message, found, kinds):
    """Visit the fields of one message between two offsets."""
    entries = {}
    while at < end:
        tag, at = _varint(data, at, end)
        number, wire = tag >> 3, tag & 7
        if wire == 0:
            _, at = _varint(data, at, end)
            continue
        if wire not in (1, 2, 5):
            raise ValueError(f"wire type {wire}")
        length, at = _varint(data, at, end) if wire == 2 else ({1: 8, 5: 4}[wire], at)
        if at + length > end:
            raise ValueError("a field ends behind its message")
        kind = _FIELDS[message].get(number) if wire == 2 else None
        if message == "tensor" and kind == "entry":
            key, value = _entry(data, at, at + length)
            entries[key] = value
        elif kind:
            kinds.add(kind)
            _walk(data, at, at + length, kind, found, kinds)
        at += length
    if entries:
        found.append((entries.get("location", ""), int(entries.get("offset", 0)) + int(entries.get("length", 0))))


def _entry(data, at, end):
    """Return key and value of a StringStringEntryProto."""
    parts = {1: "", 2: ""}
    while at < end:
        tag, at = _varint(data, at, end)
        length, at = _varint(data, at, end)
        parts[tag >> 3] = data[at : at + length].decode("utf-8")
        at += length
    return parts[1], parts[2]


def _varint(data, at, end):
    value = shift = 0
    while True:
        if at >= end or shift > 63:
            raise ValueError("a number is cut short")
        byte = data[at]
        value |= (byte & 127) << shift
        at += 1
        if byte < 128:
            return value, at
        shift += 7
