"""A model that trains in milliseconds, and the runs of it that the tests interrupt."""

import pytest
import small_run
import torch


@pytest.fixture(autouse=True)
def one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def make_trainer(tmp_path):
    """Return small_run.make_trainer with the test's folder."""

    def make(folder=None, **changes):
        return small_run.make_trainer(folder or tmp_path / "run", **changes)

    return make
