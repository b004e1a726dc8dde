"""Visitors' files: nothing is left of an upload that is broken off, and the folder has a limit."""

import socket
import time
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest

from bigmodel.limits import LIMITS, Limits
from bigmodel.ui import uploads

HEAD = b'--a\r\nContent-Disposition: form-data; name="files"; filename="a.txt"\r\n\r\n'


@pytest.fixture
def folder(page):
    return page.operation.store.folder


def unfinished(folder):
    """Files of uploads that are not finished; folders of such names are those of clients in this process."""
    return [path for path in folder.glob("tmp*") if path.is_file()]


def expect_nothing_unfinished(folder):
    deadline = time.monotonic() + 30
    while unfinished(folder) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert unfinished(folder) == []


def wait_until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        time.sleep(0.02)
    assert condition()


def test_a_visitor_who_leaves_in_the_middle(page, folder):
    address = urlsplit(page.local_url)
    with socket.create_connection((address.hostname, address.port)) as connection:
        connection.sendall(
            b"POST /gradio_api/upload HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n"
            b"Content-Type: multipart/form-data; boundary=a\r\n\r\n" + HEAD + b"a" * 100_000
        )
        wait_until(lambda: unfinished(folder))
    expect_nothing_unfinished(folder)


def test_a_body_without_an_end(page, folder):
    def endless():
        yield HEAD
        for _ in range(LIMITS.upload_bytes // 500_000 + 2):
            yield b"a" * 500_000

    headers = {"content-type": "multipart/form-data; boundary=a"}
    answer = httpx.post(f"{page.local_url}gradio_api/upload", content=endless(), headers=headers)
    assert answer.status_code == 413
    expect_nothing_unfinished(folder)


def test_a_full_folder_and_its_recovery(page, monkeypatch):
    files = {"files": ("a.txt", b"Two dogs.")}
    monkeypatch.setattr(page.operation.store, "limits", Limits(upload_folder_bytes=100))
    refused = httpx.post(f"{page.local_url}gradio_api/upload", files=files)
    assert refused.status_code == 507 and refused.headers["retry-after"] == "60"
    monkeypatch.undo()
    assert httpx.post(f"{page.local_url}gradio_api/upload", files=files).status_code == 200
    wait_until(lambda: page.operation.kept()["files"] >= 1)


def test_what_gradio_forgets_is_deleted(tmp_path, monkeypatch):
    names = "a", "b", "c"
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "file").write_bytes(b"a" * 10_000)
    (tmp_path / uploads.LOCK).touch()
    store = uploads.Store(tmp_path, Limits(upload_folder_bytes=60_000))
    store.tend()
    assert store.files == 3 and 30_000 < store.bytes < 60_000 and not store.is_full(1) and store.is_full(30_000)
    monkeypatch.setattr(uploads, "KEPT_S", -60)
    monkeypatch.setattr(uploads, "SWEEP_S", -60)
    lasting = str(tmp_path / "a/file")
    for _ in range(2):  # a folder goes after its file
        store.add(1)
        store.tend({lasting}, [noted := {lasting, str(tmp_path / "b/file")}])
    assert [path.name for path in tmp_path.iterdir() if path.is_dir()] == ["a"] and Path(lasting).exists()
    assert store.files == 1 and noted == {lasting} and (tmp_path / uploads.LOCK).exists()


def test_a_folder_that_another_server_has_swept_meanwhile(tmp_path, monkeypatch):
    (tmp_path / "server-gone").mkdir()
    lock = tmp_path / "server-gone" / uploads.LOCK
    monkeypatch.setattr(Path, "glob", lambda *_: iter([lock]))
    uploads.sweep(tmp_path)  # its lock is no more
