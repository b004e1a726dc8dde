"""What Gradio keeps for each visit, without what this page never asks for."""

from types import SimpleNamespace

from gradio.state_holder import SessionState

_begin = SessionState.__init__


def lighten():
    """Have sessions keep no configuration of components that they have not changed.

    Gradio copies those of all when a session begins, on the thread that serves everybody: 70 ms and 0.4 MB a visit. Its
    deep links alone read them, which this page has not (``guard`` refuses them).
    """
    SessionState.__init__ = _begin_bare
    SessionState._update_config = SessionState._update_value_in_config = lambda *_: None


def _begin_bare(self, blocks):
    _begin(self, SimpleNamespace(default_config=blocks.default_config, blocks=()))
