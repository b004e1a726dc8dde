"""Every limit of the page in one place, with its reason. An environment variable overrides each.

A limit of the name ``prompt_characters`` is overridden by ``BIGMODEL_PROMPT_CHARACTERS``. What a limit protects is
enforced on the server: fields by ui.validation, requests by ui.guard, work by a deadline at each step.
"""

import os
from dataclasses import dataclass, field, fields

from bigmodel.errors import ConfigError

PREFIX = "BIGMODEL_"


def _limit(default, reason, *, lowest=1):
    return field(default=default, metadata={"reason": reason, "lowest": lowest})


@dataclass(frozen=True)
class Limits:
    """The limits of one server; see each one's reason. All are whole numbers."""

    prompt_characters: int = _limit(4000, "of a prompt: stories reads 1,023 tokens or the last 512, poetry 511")
    passage_characters: int = _limit(20_000, "of a text that is gone on from")
    new_tokens: int = _limit(1024, "that one request may write: some seconds of one core")
    text_characters: int = _limit(5000, "of a text to translate: two pages, some seconds of work")
    beams: int = _limit(10, "of a translation: work grows with them, quality no more")
    file_bytes: int = _limit(5_000_000, "of a file to translate: a long novel")
    file_texts: int = _limit(5000, "of a file to translate: minutes of a small machine")
    text_seconds: int = _limit(120, "until a text ends, finished or not")
    translation_seconds: int = _limit(60, "of work until a translation ends, finished or not")
    file_seconds: int = _limit(1800, "of work until a file's translation is given up")
    texts_at_once: int = _limit(16, "that are written in one batch; more make each slower than it is read")
    translations_at_once: int = _limit(2, "batches of long translations: each takes all threads")
    pictures: int = _limit(50, "that one request may bring: some seconds of one core")
    picture_pixels: int = _limit(25_000_000, "of a picture: 200 MB on its way; of a GIF two thirds, a WebP a third")
    pictures_at_once: int = _limit(2, "that look at pictures, of each button and endpoint: each takes all threads")
    caption_characters: int = _limit(500, "of what is to be drawn: models read some 20 words or Chinese characters")
    drawings: int = _limit(8, "pictures of one request: work grows with them")
    drawing_steps: int = _limit(100, "of a picture: more change nothing that can be seen")
    drawing_seconds: int = _limit(120, "of work until pictures are given up where they stand")
    drawings_at_once: int = _limit(2, "steps of long drawings: each takes all threads")
    requests_in_turn: int = _limit(8, "that translate, as many that draw: more wait in the queue")
    queue_length: int = _limit(32, "of all who wait; who comes later gets 503 instead of minutes of waiting")
    requests_per_minute: int = _limit(300, "of one visitor, 0 for any number: typing asks some 5 a second", lowest=0)
    reads_per_minute: int = _limit(3000, "GETs of one visitor, 0 for any number: opening the page takes 150", lowest=0)
    calls_per_visitor: int = _limit(4, "of one kind under way, 0 for any number: more take others' places", lowest=0)
    body_bytes: int = _limit(1_000_000, "of a request that is no upload: the longest passage takes a fifth")
    upload_bytes: int = _limit(16_000_000, "of an upload: a photograph of a good camera")
    upload_folder_bytes: int = _limit(2_000_000_000, "of all uploads and results: they are kept for an hour or two")
    request_seconds: int = _limit(60, "in which a request must have come whole: slower ones hold a connection")
    connections: int = _limit(512, "at once: half of the files that a process may commonly open")
    connections_per_visitor: int = _limit(64, "at once, 0 for any number: a browser opens six", lowest=0)
    listen_seconds: int = _limit(30, "that a call goes on, and its answer is kept, while nobody listens to it")
    sessions: int = _limit(256, "of visits kept in memory, 16 KB and a picture in Detect each; the longest silent goes")
    memory_bytes: int = _limit(0, "of the process, 0 for nine tenths of the host's; beyond, work is refused", lowest=0)
    stop_seconds: int = _limit(30, "that running requests have when the server is told to stop")

    @classmethod
    def from_environment(cls, environment=os.environ):
        """Return the limits as the environment overrides them.

        Raises:
            ConfigError: a variable is no whole number, or out of range.
        """
        values = {}
        for limit in fields(cls):
            name = PREFIX + limit.name.upper()
            if not (text := environment.get(name, "").strip()):
                continue
            lowest = limit.metadata["lowest"]
            number = int(text) if text.isascii() and text.isdigit() and len(text) <= 12 else -1
            if not lowest <= number <= 10**12:
                raise ConfigError(f"{name}: {text[:40]!r}; give a whole number from {lowest}")
            values[limit.name] = number
        return cls(**values)

    @classmethod
    def table(cls):
        """Return the limits as the README lists them: a Markdown table of variables, values and reasons."""
        rows = [f"| `{PREFIX}{f.name.upper()}` | {f.default:,} | {f.metadata['reason']} |" for f in fields(cls)]
        return "\n".join(["| variable | default | limit |", "| --- | --- | --- |", *rows])


LIMITS = Limits.from_environment()
