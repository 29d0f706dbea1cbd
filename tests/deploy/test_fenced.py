"""The manifests of a pod whose service checks the fence itself: put together, and run."""

import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from sidecar.config import table

DEPLOY = Path(__file__).resolve().parent.parent.parent / "deploy"
FOLDER = DEPLOY / "kubernetes" / "fence"

Manifest = dict[str, Any]

REFUSES = """
import asyncio, fenced

async def application(scope, receive, send):
    print("executed", scope["raw_path"].decode())

async def receive():
    return {"type": "http.request"}

async def send(message):
    print(message.get("status", ""))

fence = fenced.ServiceFence(application)
for method, target in ("GET", b"/health"), ("POST", b"/v1/models"):
    scope = {"type": "http", "method": method, "raw_path": target, "headers": []}
    asyncio.run(fence(scope, receive, send))
"""


def read(path: Path) -> Manifest:
    return dict(yaml.safe_load(path.read_text()))


def pod(path: Path) -> Manifest:
    return dict(read(path)["spec"]["template"]["spec"])


PATCH = pod(FOLDER / "chat.yaml")
BASE = pod(DEPLOY / "kubernetes" / "deployment.yaml")
KUSTOMIZATION = read(FOLDER / "kustomization.yaml")


def mounts(container: Manifest) -> dict[str, Manifest]:
    return {mount["name"]: mount for mount in container["volumeMounts"]}


def test_sidecar_and_service_share_the_key_in_memory_by_the_group_of_the_pod() -> None:
    gate, model = PATCH["initContainers"][0], PATCH["containers"][0]
    key = "/run/epochgate/fence.key"
    variable = next(f.variable for f in table.SIDECAR_FIELDS if f.path == "fence.keyFile")
    assert gate["env"] == [{"name": variable, "value": key}]
    assert f'"{key}"' in (FOLDER / "fenced.py").read_text()
    volume = next(v for v in PATCH["volumes"] if v["name"] == "fence-key")
    assert volume["emptyDir"]["medium"] == "Memory"
    for container in (gate, model):
        assert mounts(container)["fence-key"]["mountPath"] == str(Path(key).parent)
    assert "readOnly" not in mounts(gate)["fence-key"]
    assert mounts(model)["fence-key"]["readOnly"] is True
    base = BASE["initContainers"][0]
    assert BASE["securityContext"]["fsGroup"] == base["securityContext"]["runAsGroup"]


def test_the_patch_is_laid_over_the_containers_of_the_base() -> None:
    for kind in ("initContainers", "containers"):
        assert [c["name"] for c in PATCH[kind]] == [c["name"] for c in BASE[kind]]
    args = PATCH["containers"][0]["args"]
    assert args == [*BASE["containers"][0]["args"], "--middleware", "fenced.ServiceFence"]
    assert [p for p in KUSTOMIZATION["resources"] if not (FOLDER / p).is_file()] == []


def test_what_the_pod_mounts_runs_alone_and_refuses_what_did_not_come_through_the_gate(
    tmp_path: Path,
) -> None:
    model = PATCH["containers"][0]
    maps = {item["name"]: item["files"] for item in KUSTOMIZATION["configMapGenerator"]}
    for volume in PATCH["volumes"]:
        for file in maps[volume["configMap"]["name"]] if "configMap" in volume else ():
            mount = mounts(model)[volume["name"]]
            place = tmp_path / mount["mountPath"].removeprefix("/")
            place = place if "subPath" in mount else place / Path(file).name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes((FOLDER / file).read_bytes())
    [path] = (item["value"] for item in model["env"] if item["name"] == "PYTHONPATH")
    done = subprocess.run(
        [sys.executable, "-S", "-c", REFUSES], capture_output=True, text=True, check=False,
        env={"PYTHONPATH": str(tmp_path / path.removeprefix("/"))}, cwd=tmp_path,
    )  # fmt: skip
    assert (done.stderr, done.stdout.split()) == ("", ["executed", "/health", "403"])
