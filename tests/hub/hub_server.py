"""A local server that speaks the part of the Hub's HTTP interface which publishing and fetching use.

Paths, fields and headers are those that huggingface_hub 2.4 sends and reads, and those of git-lfs' batch interface.
"""

import base64
import hashlib
import json
import re
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

GOOD_TOKEN = "hf_good"
LFS_FROM = 10_000_000  # bytes; the Hub refuses larger files in a plain commit


class HubServer(ThreadingHTTPServer):
    """The Hub of one user, "ann".

    Attributes:
        repositories: (kind, "user/name") -> dict of files (name -> bytes), settings and commits.
        stages: what a Space's runtime answers, the last again and again.
        requests: (method, path) of all that was asked.
    """

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.repositories, self.stages, self.requests, self.storage = {}, [], [], {}
        self.runtime_asked = 0

    @property
    def url(self):
        return f"http://127.0.0.1:{self.server_port}"

    def make(self, kind, name, files=()):
        settings = {"secrets": {}, "variables": {}, "hardware": "cpu-basic", "sdk": None}
        made = {"files": dict(files), "commits": [], **settings}
        return self.repositories.setdefault((kind, name), made)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, values=None, status=200, headers=None, body=None):
        body = json.dumps({} if values is None else values).encode() if body is None else body
        self.send_response(status)
        headers = {"Content-Type": "application/json", "Content-Length": len(body), **(headers or {})}
        if status >= 400:
            headers["X-Error-Message"] = values["error"]
        for name, value in headers.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def handle_request(self):
        path = self.path.partition("?")[0]
        self.server.requests.append((self.command, path))
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        for method, pattern, function in ROUTES:
            found = re.fullmatch(pattern, path)
            if found and self.command in method.split():
                open_to_all = self.command in ("GET", "HEAD", "PUT") and "whoami" not in path
                if not open_to_all and self.headers.get("Authorization") != f"Bearer {GOOD_TOKEN}":
                    return self.answer({"error": "Invalid user token."}, 401)
                return function(self, *found.groups())
        return self.answer({"error": f"no such path: {path}"}, 404)

    do_GET = do_HEAD = do_POST = do_PUT = handle_request

    def json(self):
        return json.loads(self.body)

    def repository(self, kind, name, revision="main"):
        """The repository, or None after a 404."""
        found = self.server.repositories.get((kind, name))
        if found is None:
            return self.answer({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        if revision not in ("main", *found["commits"]):
            return self.answer({"error": f"Invalid rev id: {revision}"}, 404, {"X-Error-Code": "RevisionNotFound"})
        return found

    def whoami(self):
        self.answer({"type": "user", "name": "ann", "auth": {"type": "access_token"}})

    def create(self):
        asked = self.json()
        kind, name = asked.get("type") or "model", f"{asked['organization']}/{asked['name']}"
        url = f"{self.server.url}/{'spaces/' * (kind == 'space')}{name}"
        if asked["organization"] != "ann":
            error = f'You don\'t have the rights to create a {kind} under the namespace "{asked["organization"]}"'
            return self.answer({"error": error}, 403)
        if (kind, name) in self.server.repositories:
            return self.answer({"error": f"You already created this {kind} repo", "url": url}, 409)
        made = self.server.make(kind, name, {".gitattributes": b""})
        made["sdk"] = asked.get("sdk")
        return self.answer({"url": url, "name": name, "id": name})

    def tree(self, kind, name, revision):
        if found := self.repository(kind, name, revision):
            self.answer([entry(name, content) for name, content in sorted(found["files"].items())])

    def info(self, kind, name, revision):
        if found := self.repository(kind, name, revision):
            files = [{"rfilename": name} for name in found["files"]]
            self.answer({"id": name, "sha": found["commits"][-1], "siblings": files})

    def resolve(self, name, _, file):
        if found := self.repository("model", name):
            content = found["files"][file]
            etag = hashlib.sha256(content).hexdigest()
            linked = {"X-Linked-Size": len(content), "X-Linked-Etag": f'"{etag}"'}
            headers = {"ETag": f'"{etag}"', "X-Repo-Commit": found["commits"][-1], **linked}
            self.answer(headers=headers, body=content)

    def preupload(self, kind, name, _):
        files = [
            {"path": f["path"], "uploadMode": "lfs" if f["size"] > LFS_FROM else "regular", "shouldIgnore": False}
            for f in self.json()["files"]
        ]
        self.answer({"files": files})

    def validate_yaml(self):
        text = self.json()["content"]
        if self.json()["repoType"] == "space" and "sdk:" not in text:
            return self.answer({"error": "bad", "errors": [{"message": '"sdk" is required'}], "warnings": []}, 400)
        return self.answer({"errors": [], "warnings": []})

    def lfs_batch(self, *_):
        asked = self.json()
        assert asked["operation"] == "upload" and asked["hash_algo"] == "sha256"
        upload = lambda oid: {"upload": {"href": f"{self.server.url}/storage/{oid}"}}  # noqa: E731
        objects = [
            {**o, "actions": upload(o["oid"])} if o["oid"] not in self.server.storage else o for o in asked["objects"]
        ]
        headers = {"Content-Type": "application/vnd.git-lfs+json"}
        self.answer({"transfer": "basic", "objects": objects}, headers=headers)

    def store(self, oid):
        if hashlib.sha256(self.body).hexdigest() != oid:
            return self.answer({"error": "checksum mismatch"}, 400)
        self.server.storage[oid] = self.body
        return self.answer()

    def commit(self, kind, name, _):
        if not (found := self.repository(kind, name)):
            return None
        lines = [json.loads(line) for line in self.body.splitlines()]
        assert lines[0]["key"] == "header" and lines[0]["value"]["summary"]
        files = found["files"]
        for line in lines[1:]:
            value = line["value"]
            if line["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif line["key"] == "lfsFile":
                files[value["path"]] = self.server.storage[value["oid"]]
            elif line["key"] == "deletedFile":
                del files[value["path"]]
        found["commits"].append(hashlib.sha1(self.body).hexdigest())
        url = f"{self.server.url}/{'spaces/' * (kind == 'space')}{name}/commit/{found['commits'][-1]}"
        return self.answer({"success": True, "commitOid": found["commits"][-1], "commitUrl": url, "hookOutput": ""})

    def setting(self, name, kind):
        self.server.repositories["space", name][kind][self.json()["key"]] = self.json()["value"]
        self.answer()

    def variables(self, name):
        found = self.server.repositories["space", name]["variables"]
        self.answer({key: {"value": value} for key, value in found.items()})

    def hardware(self, name):
        self.server.repositories["space", name]["hardware"] = self.json()["flavor"]
        self.runtime(name)

    def runtime(self, name):
        found, stages = self.server.repositories["space", name], self.server.stages
        stage = stages[min(self.server.runtime_asked, len(stages) - 1)] if stages else {"stage": "RUNNING"}
        if self.command == "GET":
            self.server.runtime_asked += 1
        hardware = {"current": found["hardware"], "requested": found["hardware"]}
        running = {"sha": found["commits"][-1]} if found["commits"] and stage["stage"] == "RUNNING" else {}
        rest = {"storage": None, "gcTimeout": 172800, "replicas": {"current": 1, "requested": 1}, "devMode": False}
        self.answer({"hardware": hardware, **rest, **running, **stage})


def entry(name, content):
    """A file as /tree lists it."""
    found = {"type": "file", "oid": hashlib.sha1(content).hexdigest(), "size": len(content), "path": name}
    if len(content) > LFS_FROM:
        found["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
    return found


_NAME = r"([\w.-]+/[\w.-]+)"
ROUTES = [
    ("GET", "/api/whoami-v2", Handler.whoami),
    ("POST", "/api/repos/create", Handler.create),
    ("POST", "/api/validate-yaml", Handler.validate_yaml),
    ("GET", f"/api/(model|space)s/{_NAME}/tree/(.+)", Handler.tree),
    ("GET", f"/api/(model|space)s/{_NAME}/revision/(.+)", Handler.info),
    ("POST", f"/api/(model|space)s/{_NAME}/preupload/(.+)", Handler.preupload),
    ("POST", f"/api/(model|space)s/{_NAME}/commit/(.+)", Handler.commit),
    ("POST", f"/api/spaces/{_NAME}/(secrets|variables)", Handler.setting),
    ("GET", f"/api/spaces/{_NAME}/variables", Handler.variables),
    ("POST", f"/api/spaces/{_NAME}/hardware", Handler.hardware),
    ("GET", f"/api/spaces/{_NAME}/runtime", Handler.runtime),
    ("POST", f"/(?:spaces/)?{_NAME}.git/info/lfs/objects/batch", Handler.lfs_batch),
    ("PUT", r"/storage/(\w+)", Handler.store),
    ("GET HEAD", f"/{_NAME}/resolve/([^/]+)/(.+)", Handler.resolve),
]
