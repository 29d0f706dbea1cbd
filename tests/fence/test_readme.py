"""What the README of the fence says to others who write one: the vector, and the Node text."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import sidecar.fence
from sidecar.fence import check
from sidecar.fence.check import INVALID, LATE, Clocks
from tests.fence.caller import (
    HOST,
    KEY,
    LIMIT_S,
    TARGETS,
    Answer,
    ask,
    fenced,
    receive,
    write_key,
)

FOLDER = Path(sidecar.fence.__file__).parent
README = (FOLDER / "README.md").read_text("utf-8")
NODE = shutil.which("node")

needs_node = pytest.mark.skipif(NODE is None, reason="needs node, to run the Node text")

SERVER = """
const { fence } = require('./fence.js')
const check = fence(process.argv[2], ['/health'])
const server = require('node:http').createServer((request, response) => {
  check(request, response, () => {
    request.on('end', () => check.again(request, response, () => response.end('executed')))
    request.resume()
  })
})
server.listen(0, '127.0.0.1', () => console.log(server.address().port))
"""
JUDGE = """
const { verify } = require('./fence.js')
const asked = JSON.parse(require('node:fs').readFileSync(0, 'utf8'))
const answer = asked.map(a => verify(Buffer.from(a.key, 'hex'), a.method, a.target, a.headers,
  a.wall_ms, a.boot_ms))
console.log(JSON.stringify(answer))
"""


def text_in(language: str) -> str:
    found = re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)
    assert len(found) == 1
    return str(found[0])


def vector() -> tuple[dict[str, Any], dict[str, str]]:
    """The request and key, and the header fields as they stand in the text."""
    fields = dict(re.findall(r"^    (x-epochgate-[a-z-]+): (.+)$", README, re.MULTILINE))
    return json.loads(text_in("json")), fields


def test_the_vector_is_what_the_check_computes() -> None:
    said, fields = vector()
    headers = [(name.encode(), value.encode()) for name, value in fields.items()]
    key, asked = bytes.fromhex(said["key"]), (said["method"].encode(), said["target"].encode())
    until = said["in_time_until"]
    assert fields["x-epochgate-fence"] == said["fence"]
    now = Clocks(until["boot_ms"], until["wall_ms"])
    assert check.verify(key, *asked, headers, now) is None
    assert check.verify(key, *asked, headers, now._replace(boot_ms=now.boot_ms + 1)) is LATE
    assert check.verify(key, *asked, headers, now._replace(wall_ms=now.wall_ms + 1)) is LATE
    assert check.verify(bytes(32), *asked, headers, now) is INVALID


def test_the_folder_works_alone_and_imports_nothing_but_the_standard_library(
    tmp_path: Path,
) -> None:
    """As in the image of a service: a copy of the folder, an interpreter, nothing else."""
    shutil.copytree(FOLDER, tmp_path / "sidecar" / "fence")
    program = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "import sidecar.fence.asgi as a, sidecar.fence.wsgi as w\n"
        "assert a.__file__.startswith(sys.argv[1]) and w.Fence\n"
        "others = {name.partition('.')[0] for name in sys.modules} - set(sys.stdlib_module_names)\n"
        "print(sorted(others - {'__main__'}))\n"
        "print(sorted(name for name in sys.modules if name.startswith('sidecar.')))\n"
    )
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", program, str(tmp_path)],
        capture_output=True, text=True, check=False, timeout=LIMIT_S,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr
    alone, modules = ran.stdout.splitlines()
    assert alone == "['sidecar']"
    assert all(name.startswith("'sidecar.fence") for name in modules.strip("[]").split(", "))


@pytest.fixture
def node(tmp_path: Path) -> Path:
    """A folder with the Node text in a file."""
    (tmp_path / "fence.js").write_text(text_in("js"))
    (tmp_path / "server.js").write_text(SERVER)
    (tmp_path / "judge.js").write_text(JUDGE)
    return tmp_path


@pytest.fixture
def port(node: Path) -> Iterator[int]:
    """Of a service in Node, behind the text."""
    assert NODE is not None
    key_file = write_key(node / "fence.key")
    with subprocess.Popen(
        [NODE, "server.js", str(key_file)], cwd=node, stdout=subprocess.PIPE, text=True
    ) as child:
        assert child.stdout is not None
        yield int(child.stdout.readline())
        child.kill()


@needs_node
def test_the_node_text_judges_as_the_check_does(node: Path) -> None:
    """Every length of the hashed text around the block boundaries, and each fault."""
    assert NODE is not None
    asked: list[dict[str, Any]] = []
    expected: list[str | None] = []
    now = Clocks(5_099, 1_760_000_000_099)
    for length in range(140):
        target = "/" + "a" * length
        for not_after in ("1760000000100;boot=5100", "1760000000099;boot=5100", "1;boot=5100"):
            said = b"POST", target.encode(), b"id-1", b"42", not_after.encode()
            headers = {
                "x-epochgate-decision-id": "id-1", "x-epochgate-epoch": "42",
                "x-epochgate-not-after": not_after,
                "x-epochgate-fence": check.mac(KEY, *said).decode(),
            }  # fmt: skip
            for key in (KEY, bytes(32)):
                raw = [(name.encode(), value.encode()) for name, value in headers.items()]
                refusal = check.verify(key, said[0], said[1], raw, now)
                expected.append(None if refusal is None else refusal.kind)
                asked.append({"key": key.hex(), "method": "POST", "target": target,
                              "headers": headers, **now._asdict()})  # fmt: skip
    ran = subprocess.run(
        [NODE, "judge.js"], cwd=node, input=json.dumps(asked), capture_output=True, text=True,
        check=True, timeout=LIMIT_S,
    )  # fmt: skip
    assert set(expected) == {None, "late", "invalid"}
    assert json.loads(ran.stdout) == expected


def in_two(port: int, permit: dict[str, str], until_ms: int = 0, method: str = "POST") -> Answer:
    """A request whose head comes at once, and its body after `until_ms`."""
    lines = "".join(f"{name}: {value}\r\n" for name, value in permit.items())
    head = (
        f"{method} /x HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 2\r\n{lines}\r\n"
    )
    with socket.create_connection((HOST, port), timeout=LIMIT_S) as client:
        client.sendall(head.encode())
        time.sleep(until_ms / 1000)  # no event says that a deadline has passed
        client.sendall(b"{}")
        return receive(client)


@needs_node
def test_the_node_text_executes_what_is_permitted_and_refuses_the_rest(
    node: Path, port: int
) -> None:
    for target in TARGETS:
        assert ask(port, "GET", target, fenced("GET", target)).status == 200, target
    headers = fenced("POST", "/x")
    assert ask(port, "POST", "/x", fenced("POST", "/x", left_ms=0)).kind == "late"
    assert ask(port, "POST", "/x", fenced("POST", "/y")).kind == "invalid"
    assert ask(port, "POST", "/x", {}).kind == "missing"
    assert ask(port, "GET", "/health", {}).status == 200
    assert ask(port, "POST", "/health", {}).status == 403
    for name, value in headers.items():
        assert ask(port, "POST", "/x", headers, f"{name}: {value}").kind == "invalid"
    assert in_two(port, fenced("POST", "/x")).status == 200
    for method in ("POST", "GET"):
        permit = fenced(method, "/x", left_ms=500)
        assert in_two(port, permit, until_ms=500, method=method).kind == "late"
    other = os.urandom(32)
    write_key(node / "fence.key", other)
    assert ask(port, "POST", "/x", fenced("POST", "/x", key=other)).status == 200
    assert ask(port, "POST", "/x", headers).kind == "invalid"
