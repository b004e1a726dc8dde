"""How the server is run: health, figures, request ids, a stop that waits, a kill that leaves nothing."""

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest
from loops import run_apart

from bigmodel.ui import uploads
from bigmodel.ui.visitors import REPOSITORY, endpoints, free_port, served, visit

LONG = ["Once", "tiny-stories", 1024, *[None] * 3, 0, *[None] * 2, "", "", ""]


def run_app(models_root, **variables):
    """Run app.py until it ends or 150 seconds pass; return (status, what it said)."""
    environment = {**os.environ, "BIGMODEL_MODELS": str(models_root), **variables}
    done = subprocess.run(
        ["timeout", "150", sys.executable, "app.py"],
        cwd=REPOSITORY,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout + done.stderr


def test_health_figures_and_a_stop_that_lets_a_text_end(serve):
    address, process = serve(BIGMODEL_METRICS="1")
    health = httpx.get(f"{address}health")
    assert "retry-after" not in health.headers
    assert health.status_code == 200 and health.json()["models"]["tiny-stories"]["state"] == "ready"
    event = httpx.post(f"{address}gradio_api/call/v2/generate_text", json={"prompt": "a", "max_new_tokens": 3}).json()
    httpx.get(f"{address}gradio_api/call/generate_text/{event['event_id']}", timeout=60)
    figures = httpx.get(f"{address}metrics").text
    assert 'bigmodel_calls_total{name="generate_text",outcome="done"} 1.0' in figures
    assert 'bigmodel_requests_total{method="POST",status="200"}' in figures
    assert "process_resident_memory_bytes" in figures and "bigmodel_running 0.0" in figures

    async def stop():
        async with httpx.AsyncClient(base_url=address, timeout=60) as client:
            number = (await endpoints(client))["generate_text"]
            running = asyncio.create_task(visit(client, number, LONG))
            while "bigmodel_running 1.0" not in (await client.get("metrics")).text and not running.done():
                await asyncio.sleep(0.02)
            process.send_signal(signal.SIGTERM)
            try:
                while (await client.get("health")).status_code == 200:
                    await asyncio.sleep(0.02)
                refused = await visit(client, number, LONG)
            except httpx.HTTPError:  # it has stopped already
                refused = None
            return await running, refused

    whole, refused = run_apart(stop())
    assert whole.done and len(whole.value) > 1000
    if refused and refused.status:
        assert refused.status == 503 and "being stopped" in refused.error
    assert process.wait(60) == 0


def test_no_figures_unless_asked_for(page):
    assert httpx.get(f"{page.local_url}metrics").status_code == 404
    assert httpx.get(f"{page.local_url}health").status_code == 200


def test_our_fault_is_told_with_an_id_that_the_log_has(page, monkeypatch, caplog):
    from bigmodel.text_generation import serve

    monkeypatch.setattr(serve, "next_tokens", lambda *_: {}["secret words"])
    joined = httpx.post(f"{page.local_url}gradio_api/call/v2/next_tokens", json={"prompt": "a"})
    told = httpx.get(f"{page.local_url}gradio_api/call/next_tokens/{joined.json()['event_id']}", timeout=30).text
    assert joined.headers["x-request-id"] in told and "secret" not in told and "Traceback" not in told
    (record,) = [r for r in caplog.records if r.getMessage() == "call" and r.fields["outcome"] == "failed"]
    assert record.fields["request_id"] == joined.headers["x-request-id"] and record.fields["error"] == "KeyError"
    assert "secret" not in json.dumps(record.fields) and any("tab.py" in frame for frame in record.fields["where"])


def test_kill_and_restart(models_root, tmp_path):
    environment = {"BIGMODEL_MODELS": str(models_root), "GRADIO_TEMP_DIR": str(tmp_path)}
    with served(["app.py"], environment=environment, path="health") as (address, process):
        httpx.post(f"{address}gradio_api/upload", files={"files": ("a.txt", b"Two dogs.")})
        event = httpx.post(f"{address}gradio_api/call/v2/generate_text", json={"prompt": "a", "max_new_tokens": 900})
        with (
            pytest.raises(httpx.HTTPError),
            httpx.stream(
                "GET", f"{address}gradio_api/call/generate_text/{event.json()['event_id']}", timeout=30
            ) as stream,
        ):
            for _ in stream.iter_lines():
                process.kill()
        process.wait()
    (left,) = tmp_path.glob("server-*")
    assert list(left.rglob("a.txt"))
    with served(["app.py"], environment=environment, path="health") as (address, _):
        (own,) = tmp_path.glob("server-*")
        assert own != left and not list(tmp_path.rglob("a.txt"))
        assert httpx.get(address).status_code == 200
    assert not list(tmp_path.glob("server-*"))  # an orderly end leaves nothing


def test_folders_of_living_servers_are_not_swept(tmp_path):
    code = (
        "import pathlib,sys,time\nfrom bigmodel.ui import uploads\nprint(uploads.claim(), flush=True)\ntime.sleep(60)"
    )
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(tmp_path)}
    command = [sys.executable, "-c", code]
    process = subprocess.Popen(command, env=environment, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True)
    folder = Path(process.stdout.readline().strip())
    uploads.sweep(tmp_path)
    assert folder.is_dir()
    process.kill()
    process.wait()
    uploads.sweep(tmp_path)
    assert not folder.exists()


def test_a_new_folder_is_locked_before_others_can_sweep_it(tmp_path):
    code = (
        "import pathlib; from bigmodel.ui import uploads; rename = pathlib.Path.rename\n"
        "def swept(self, target):\n uploads.sweep(self.parents[1]); return rename(self, target)\n"
        "pathlib.Path.rename = swept; folder = uploads.claim(); uploads.sweep(folder.parent); print(folder.is_dir())"
    )
    environment = {**os.environ, "GRADIO_TEMP_DIR": str(tmp_path)}
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "True" and not list(tmp_path.glob("server-*"))


def mounted(options, folder, command):
    """Words that run a command where a folder is a disk of its own, with mount's options."""
    script = f"mount -t tmpfs -o {options} tmpfs {folder} && exec {command}"
    words = ["unshare", "-rm", "sh", "-c", script]
    if subprocess.run([*words[:-1], script.partition(" &&")[0]], check=False).returncode:
        pytest.skip("no disk can be mounted here")
    return words


def test_a_full_disk_and_its_recovery(models_root, tmp_path):
    words = mounted("size=300k", tmp_path, f"{sys.executable} app.py")
    environment = {"BIGMODEL_MODELS": str(models_root), "GRADIO_TEMP_DIR": str(tmp_path)}
    program = ["-c", f"import os; os.execvp('unshare', {words})"]
    with served(program, environment=environment, path="health") as (address, _):
        for size, status in ((10_000, 200), (900_000, 507), (20_000, 200)):
            answer = httpx.post(f"{address}gradio_api/upload", files={"files": ("a.txt", b"a" * size)})
            assert answer.status_code == status
        body = {"model": "tiny-stories", "prompt": "a", "max_tokens": 3}
        assert httpx.post(f"{address}v1/completions", json=body).status_code == 200


def test_a_read_only_disk_is_said(models_root, tmp_path):
    words = mounted("ro", tmp_path, f"{sys.executable} app.py")
    environment = {**os.environ, "BIGMODEL_MODELS": str(models_root), "GRADIO_TEMP_DIR": str(tmp_path)}
    done = subprocess.run(words, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "no file can be written there (Read-only file system)" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_broken_folder_is_named_and_the_others_work(models_root, tmp_path):
    from bigmodel.ui.app import build_app

    def spoil(name, work):
        work(shutil.copytree(models_root / "tiny-stories", tmp_path / name))

    def flip(folder):
        path = folder / "onnx/model_quantized.onnx"
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)

    def truncate(folder):
        from bigmodel.runtime.artifacts import write_manifest

        path = folder / "onnx/model_quantized.onnx"
        path.write_bytes(path.read_bytes()[:-1000])
        write_manifest(folder)

    def point_outside(folder):
        import onnx

        from bigmodel.runtime.artifacts import write_manifest

        path = folder / "onnx/model_quantized.onnx"
        model = onnx.load(path)
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        tensor.external_data.add(key="location", value="../../../../etc/passwd")
        path.write_bytes(model.SerializeToString())
        write_manifest(folder)

    spoil("flipped", flip)
    spoil("missing", lambda folder: (folder / "tokenizer.json").unlink())
    spoil("truncated", truncate)
    spoil("outside", point_outside)
    spoil("pickled", lambda folder: (folder / "weights.bin").write_bytes(b"\x80\x04K\x01."))
    names = ("flipped", "missing", "outside", "pickled", "truncated")
    for name in names:  # each under its own name
        config = json.loads((tmp_path / name / "config.json").read_text())
        config["bigmodel"]["name"] = name
        (tmp_path / name / "config.json").write_text(json.dumps(config))
    models = build_app([tmp_path, models_root / "tiny-stories"]).models
    models.wait()
    assert [entry.name for entry in models.entries.values() if entry.model] == ["tiny-stories"]
    assert all(models.entries[name].fault.startswith(name) for name in names)
    assert "weights.bin" in models.entries["pickled"].fault


def test_what_cannot_be_is_said(models_root, tmp_path):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        status, said = run_app(models_root, GRADIO_SERVER_PORT=str(taken.getsockname()[1]))
    assert status == 1 and "error: the page cannot be served: Cannot find empty port" in said
    assert "Traceback" not in said
    blocked = tmp_path / "blocked"
    blocked.write_text("a file where a folder should be")
    status, said = run_app(models_root, GRADIO_TEMP_DIR=str(blocked))
    assert status == 1 and "no file can be written there (" in said and "Traceback" not in said
    status, said = run_app(models_root, BIGMODEL_QUEUE_LENGTH="none")
    assert status == 1 and "error: BIGMODEL_QUEUE_LENGTH: 'none'; give a whole number from 1" in said


@pytest.mark.parametrize("threads, limit", [("64", "true"), ("1", "ulimit -d 1000000")])  # a thread reserves a stack
def test_a_poor_host(models_root, tmp_path, threads, limit):
    """No HOME, no network, one core, many threads or 1 GB of memory: the page works."""
    port = free_port()
    environment = {
        "PATH": os.environ["PATH"],
        "BIGMODEL_MODELS": str(models_root),
        "BIGMODEL_THREADS": threads,
        "GRADIO_SERVER_PORT": str(port),
        "GRADIO_TEMP_DIR": str(tmp_path),
        "HTTPS_PROXY": "http://127.0.0.1:9",
    }
    command = f"{limit}; exec taskset -c 0 {sys.executable} app.py"
    process = subprocess.Popen(["bash", "-c", command], cwd=REPOSITORY, env=environment)
    try:
        deadline = time.monotonic() + 170
        while time.monotonic() < deadline and process.poll() is None:
            try:
                if httpx.get(f"http://127.0.0.1:{port}/health", timeout=5).status_code == 200:
                    break
            except httpx.HTTPError:
                time.sleep(0.2)
        address = f"http://127.0.0.1:{port}/gradio_api"
        event = httpx.post(f"{address}/call/v2/generate_text", json={"prompt": "a", "max_new_tokens": 3}).json()
        assert "event: complete" in httpx.get(f"{address}/call/generate_text/{event['event_id']}", timeout=60).text
    finally:
        process.terminate()
        process.wait(60)
