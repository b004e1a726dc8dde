"""A model that trains in milliseconds, and the runs of it that the tests interrupt."""

import pytest
import small_run


@pytest.fixture(autouse=True)
def alone(one_thread):
    """Everything here on one thread."""


@pytest.fixture
def make_trainer(tmp_path):
    """Return small_run.make_trainer with the test's folder."""

    def make(folder=None, **changes):
        return small_run.make_trainer(folder or tmp_path / "run", **changes)

    return make
