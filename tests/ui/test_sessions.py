"""A visit begins light, and is still its own."""

import gradio as gr
import pytest
from gradio.blocks import BlocksConfig
from gradio.state_holder import SessionState

from bigmodel.ui import sessions


@pytest.fixture
def blocks():
    sessions.lighten()
    with gr.Blocks() as blocks:
        blocks.box, blocks.state = gr.Textbox("a"), gr.State(["a"])
    return blocks


def test_a_session_begins_without_a_copy_of_any_component(blocks, monkeypatch):
    monkeypatch.setattr(BlocksConfig, "config_for_block", lambda *_: pytest.fail("a configuration was made"))
    session = SessionState(blocks)
    session._update_value_in_config(blocks.box._id, "b" * 1000)
    session._update_config(blocks.box._id)
    assert list(session.components) == []


def test_a_session_has_components_and_state_of_its_own(blocks):
    mine, yours = SessionState(blocks), SessionState(blocks)
    mine[blocks.state._id] = ["b"]
    mine[blocks.box._id] = other = gr.Textbox("c", render=False)
    assert mine[blocks.state._id] == ["b"] and mine[blocks.box._id] is other
    assert yours[blocks.state._id] == ["a"] and yours[blocks.box._id] is blocks.box
