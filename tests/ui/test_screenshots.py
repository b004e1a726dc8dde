"""``python -m bigmodel screenshots`` with tiny models: a result on each picture of the Image tab."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from bigmodel.ui.screenshots import PHONE, _committed, _every


def test_every_tab_in_both_languages_light_and_dark_on_both_devices(tmp_path):
    names = {path.stem for path, *_ in _every(tmp_path)}
    assert len(names) == 6 * 2 * 2 * 2
    assert {"detect-zh-CN-dark-phone", "classify-en-light-desktop"} <= names
    assert {"generate", "classify", "detect", "preview"} <= {path.stem for path, *_ in _committed()}


def test_results_are_on_the_pictures(models_root, tmp_path):
    pytest.importorskip("playwright")
    if shutil.which("chromium") is None:
        pytest.skip("chromium is missing")
    command = [sys.executable, "-m", "bigmodel", "screenshots", "--out", str(tmp_path), "--only", "[cd]*-light-phone"]
    environment = {**os.environ, "BIGMODEL_MODELS": str(models_root)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=900)
    assert done.returncode == 0, done.stderr
    paths = sorted(tmp_path.glob("*.png"))
    assert sorted(done.stdout.split()) == [str(path) for path in paths]
    assert [path.stem for path in paths] == [
        f"{tab}-{language}-light-phone" for tab in ("classify", "detect") for language in ("en", "zh-CN")
    ]
    for path in paths:
        with Image.open(path) as picture:
            assert picture.width == PHONE[0] and picture.height > PHONE[1]
            dark = np.asarray(picture.convert("L")) < 80  # a result's bars, boxes and pictures
            assert dark.mean() > 0.02, path
