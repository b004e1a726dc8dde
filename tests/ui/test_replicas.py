"""Two replicas behind nginx, as the README arranges them: each visitor stays with one, and one alone serves all."""

import os
import re
import shutil
import subprocess
import time
from pathlib import Path

import httpx
import pytest

from bigmodel.ui.visitors import free_port

README = Path(__file__).parents[2] / "README.md"


@pytest.fixture(scope="module")
def balanced(serve, tmp_path_factory):
    """Address of the balancer, and the processes of its replicas."""
    if not (nginx := shutil.which("nginx") or shutil.which("/usr/sbin/nginx")):
        if os.environ.get("CI") == "true":
            pytest.fail("nginx is missing")
        pytest.skip("nginx is missing")
    replicas = [serve() for _ in range(2)]
    port, folder = free_port(), tmp_path_factory.mktemp("nginx")
    site = re.search(r"```nginx\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL).group(1)
    for wanted, (address, _) in zip(("7861", "7862"), replicas, strict=True):
        site = site.replace(f"127.0.0.1:{wanted}", address.removeprefix("http://").strip("/"))
    site = site.replace("listen 7860;", f"listen 127.0.0.1:{port}; add_header X-Replica $upstream_addr;")
    own = "".join(f"{name}_temp_path {folder}/{name};" for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
    (folder / "nginx.conf").write_text(
        f"pid {folder}/pid; error_log {folder}/log; events {{}} http {{ access_log off; {own} {site} }}"
    )
    command = [nginx, "-p", str(folder), "-c", str(folder / "nginx.conf"), "-g", "daemon off;"]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    time.sleep(1)
    yield f"http://127.0.0.1:{port}/", [process for _, process in replicas]
    process.terminate()
    process.wait()


def write(client):
    """Ask for a text as a browser does; return (the replica that served it, its text)."""
    joined = client.post("gradio_api/call/v2/generate_text", json={"prompt": "Once", "max_new_tokens": 5})
    told = client.get(f"gradio_api/call/generate_text/{joined.json()['event_id']}", timeout=60)
    assert "event: complete" in told.text
    # where one has ended, nginx names it and then the one that answered
    replicas = {answer.headers["x-replica"].split(", ")[-1] for answer in (joined, told)}
    assert len(replicas) == 1
    return replicas.pop(), told.text.splitlines()[-2]


def test_visitors_stay_where_they_are_and_move_when_a_replica_ends(balanced):
    address, processes = balanced
    visitors = [httpx.Client(base_url=address) for _ in range(12)]
    for visitor in visitors:
        assert visitor.get("").status_code == 200 and len(visitor.cookies["replica"]) == 32
    first = [write(visitor) for visitor in visitors]
    assert len({replica for replica, _ in first}) == 2 and len({text for _, text in first}) == 1
    cookies = [visitor.cookies["replica"] for visitor in visitors]
    for visitor in visitors:
        assert "set-cookie" not in visitor.get("").headers  # a second tab leaves the first one where it is
    assert [write(visitor) for visitor in visitors] == first
    assert [visitor.cookies["replica"] for visitor in visitors] == cookies
    program = httpx.Client(base_url=address)  # without cookies
    assert write(program) == write(program)
    origin = {"origin": address.strip("/")}
    body = {"prompt": "Once", "max_new_tokens": 1}
    assert program.post("gradio_api/call/v2/generate_text", json=body, headers=origin).status_code == 200
    processes[0].kill()
    processes[0].wait()
    assert len({write(visitor)[0] for visitor in visitors}) == 1
    for client in (*visitors, program):
        client.close()
