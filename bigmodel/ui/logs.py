"""Structured logs: one JSON object a line, on stderr. Nothing that a visitor wrote is logged."""

import json
import logging
import sys
import traceback
from contextvars import ContextVar
from datetime import UTC, datetime

logger = logging.getLogger("bigmodel")
REQUEST_ID = ContextVar("request_id", default="")  # of the HTTP request that is being served


class JsonFormatter(logging.Formatter):
    """Writes a record of ``log`` as one line of JSON; line breaks in it are escaped."""

    def format(self, record):
        """Return the line."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        fields = {"time": time, "level": record.levelname.lower(), "event": record.getMessage()}
        return json.dumps({**fields, **getattr(record, "fields", {})}, ensure_ascii=True)


def log(event, *, level=logging.INFO, **fields):
    """Log an event with fields that JSON knows."""
    logger.log(level, event, extra={"fields": fields})


def where(error):
    """Return where an error was raised, frame by frame, without its message, which may hold a visitor's text."""
    return [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in traceback.extract_tb(error.__traceback__)]


def start():
    """Write the logs to stderr, unless the program that uses the page has arranged for them itself."""
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonFormatter())
        logger.addHandler(handler)
        logger.setLevel(logging.INFO)
        logger.propagate = False
