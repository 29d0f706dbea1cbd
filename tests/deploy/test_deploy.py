"""What we ship to run it with: files parse, examples are accepted, users can do what they must.

The users are judged by a real server that loads the shipped configuration, over the very connection
that sidecars and authorities use.
"""

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import redis
import yaml

from sidecar.cli import nftables
from sidecar.config import read
from sidecar.core import layout
from sidecar.core.events import ReadPeer
from sidecar.core.quorum import PeerId
from sidecar.sync.peer import Fault, Peer, PeerError
from tests.valkey import ValkeyServer

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
DOMAIN = "example"
KEY = f"eg:{{{DOMAIN}}}:beat:x"
CHANNEL = f"eg:{{{DOMAIN}}}:push"
PASSWORDS = {"reader": "reads-only", "writer": "writes"}

Manifest = dict[str, Any]


def documents(path: Path) -> list[Manifest]:
    return [item for item in yaml.safe_load_all(path.read_text()) if item]


def manifests() -> list[Manifest]:
    return [
        item for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")) for item in documents(path)
    ]


def named(kind: str, name: str) -> Manifest:
    found = [
        m for m in manifests() if (m["kind"], m.get("metadata", {}).get("name")) == (kind, name)
    ]
    assert len(found) == 1, f"{kind} {name}: {len(found)}"
    return found[0]


def pods() -> list[Manifest]:
    kinds = {"Deployment", "StatefulSet"}
    return [m["spec"]["template"]["spec"] for m in manifests() if m["kind"] in kinds]


def containers(pod: Manifest) -> list[Manifest]:
    return [*pod.get("initContainers", []), *pod["containers"]]


GATE = named("Deployment", "chat")["spec"]["template"]["spec"]


# Files.


@pytest.mark.parametrize("path", sorted(DEPLOY.rglob("*.yaml")), ids=lambda path: path.name)
def test_every_file_parses(path: Path) -> None:
    assert documents(path)


def test_every_manifest_has_a_name_and_no_namespace() -> None:
    for manifest in manifests():
        if manifest["kind"] != "Kustomization":
            assert manifest["metadata"]["name"]
            assert "namespace" not in manifest["metadata"]


def test_kustomize_lists_files_that_exist_and_no_example_secret() -> None:
    listed = documents(DEPLOY / "kubernetes" / "kustomization.yaml")[0]
    files = [*listed["resources"], *listed["configMapGenerator"][0]["files"]]
    assert [name for name in files if not (DEPLOY / "kubernetes" / name).is_file()] == []
    assert "secret.example.yaml" not in files


def test_what_pods_mount_is_declared_somewhere() -> None:
    names = {(m["kind"], m["metadata"]["name"]) for m in manifests() if "metadata" in m}
    names.add(("ConfigMap", "epochgate-peer"))  # kustomize makes it
    for pod in pods():
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        for volume in volumes.values():
            if "configMap" in volume:
                assert ("ConfigMap", volume["configMap"]["name"]) in names
            if "secret" in volume:
                assert ("Secret", volume["secret"]["secretName"]) in names
        for container in containers(pod):
            for mount in container.get("volumeMounts", []):
                assert mount["name"] in {*volumes, "data"}


# What a gate in a pod has to be.


def test_the_sidecar_is_native_and_holds_the_service_back_until_it_is_ready() -> None:
    gate = GATE["initContainers"][0]
    assert gate["restartPolicy"] == "Always"
    assert gate["startupProbe"]["httpGet"] == {"path": "/readyz", "port": "gate-status"}


def test_liveness_never_depends_on_governance() -> None:
    for pod in pods():
        for container in containers(pod):
            probe = container.get("livenessProbe")
            assert probe is None or probe["httpGet"]["path"] == "/livez"


@pytest.mark.parametrize("pod", pods(), ids=lambda pod: str(pod["containers"][0]["name"]))
def test_every_pod_is_restricted(pod: Manifest) -> None:
    assert pod["automountServiceAccountToken"] is False
    assert pod["enableServiceLinks"] is False
    for container in containers(pod):
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}
        if container["image"].startswith("epochgate:"):
            assert (context["runAsUser"], context["runAsNonRoot"]) == (17117, True)
            assert context["readOnlyRootFilesystem"] is True
        else:
            assert context.get("runAsUser") != 17117


def test_the_service_listens_on_loopback_and_has_no_port_of_its_own() -> None:
    model = GATE["containers"][0]
    assert model["args"][:2] == ["--host", "127.0.0.1"]
    assert "ports" not in model


def test_clients_reach_the_gate_and_nothing_else() -> None:
    ports = named("Service", "chat")["spec"]["ports"]
    assert [port["targetPort"] for port in ports] == [17001]
    rules = named("NetworkPolicy", "chat")["spec"]["ingress"]
    assert [port["port"] for rule in rules for port in rule["ports"]] == [17001, 17011]


def test_the_drain_fits_into_the_grace_period() -> None:
    drain = documents(DEPLOY / "examples" / "sidecar.yaml")[0]["spec"]["drain"]
    needed = sum(int(drain[key].removesuffix("s")) for key in ("delay", "timeout"))
    assert GATE["terminationGracePeriodSeconds"] >= needed + 5


def test_peers_are_three_servers_that_do_not_know_each_other() -> None:
    peers = [m for m in manifests() if m["kind"] == "StatefulSet"]
    assert [peer["metadata"]["name"] for peer in peers] == [
        f"epochgate-peer-{n}" for n in (1, 2, 3)
    ]
    assert {peer["spec"]["replicas"] for peer in peers} == {1}


# Redirection.


TRANSPARENT = documents(DEPLOY / "kubernetes" / "transparent" / "chat.yaml")
REDIRECTED = next(m for m in TRANSPARENT if m["kind"] == "Deployment")["spec"]["template"]["spec"]


def test_the_rules_are_in_force_before_anything_else_runs_in_the_pod() -> None:
    rules, gate = REDIRECTED["initContainers"]
    assert (rules["image"], rules["args"][0]) == ("epochgate-intercept:0.1.0", "install")
    assert "restartPolicy" not in rules
    assert (gate["name"], gate["restartPolicy"]) == ("epochgate", "Always")
    assert "AS intercept" in (ROOT / "Dockerfile").read_text()


def test_only_the_container_that_ends_has_a_capability_and_only_one() -> None:
    capabilities = {
        item["name"]: item["securityContext"]["capabilities"] for item in containers(REDIRECTED)
    }
    assert capabilities.pop("epochgate-intercept") == {"drop": ["ALL"], "add": ["NET_ADMIN"]}
    assert list(capabilities.values()) == [{"drop": ["ALL"]}] * 2
    for item in containers(REDIRECTED):
        assert item["securityContext"]["allowPrivilegeEscalation"] is False


def test_the_rules_and_the_gate_are_told_the_same(etc: Callable[[str], Path]) -> None:
    said = [item["envFrom"] for item in REDIRECTED["initContainers"]]
    assert said[0] == said[1] == [{"configMapRef": {"name": "epochgate-transparent"}}]
    variables = next(m for m in TRANSPARENT if m["kind"] == "ConfigMap")["data"]
    text = (DEPLOY / "examples" / "sidecar.yaml").read_text()
    config = read.read_sidecar(etc(text), variables).config
    redirection = [line for line in nftables.wanted(config) if line.name == "redirect"]
    assert "redirect to :17001" in redirection[0].text
    user = REDIRECTED["initContainers"][1]["securityContext"]["runAsUser"]
    assert (config.intercept.uid, config.intercept.loopback) == (user, "strict")


def test_clients_and_probes_use_the_port_of_the_service() -> None:
    [service] = (m for m in TRANSPARENT if m["kind"] == "Service")
    assert [port["targetPort"] for port in service["spec"]["ports"]] == [8000]
    model = REDIRECTED["containers"][0]
    assert "--host" not in model["args"]
    assert {model[probe]["httpGet"]["port"] for probe in ("startupProbe", "readinessProbe")} == {
        8000
    }


def test_what_the_redirected_pod_is_made_from_is_there() -> None:
    folder = DEPLOY / "kubernetes" / "transparent"
    listed = documents(folder / "kustomization.yaml")[0]
    files = [*listed["resources"], *listed["configMapGenerator"][0]["files"]]
    assert [name for name in files if not (folder / name).is_file()] == []


# Compose.


COMPOSE = documents(DEPLOY / "compose" / "compose.yaml")[0]


def test_compose_mounts_files_that_are_shipped_or_the_operators_own() -> None:
    mounts = [m for service in COMPOSE["services"].values() for m in service["volumes"]]
    local = [mount.split(":")[0] for mount in mounts if mount.startswith(".")]
    missing = [name for name in local if not (DEPLOY / "compose" / name).is_file()]
    assert local
    assert {str(Path(name).parent) for name in missing} <= {"files"}


def test_compose_publishes_the_gate_and_not_the_service_behind() -> None:
    published = [port for item in COMPOSE["services"].values() for port in item.get("ports", [])]
    assert published == ["127.0.0.1:17001:17001", "127.0.0.1:17011:17011"]
    assert COMPOSE["services"]["sidecar"]["network_mode"] == "service:upstream"


# Configurations.


@pytest.fixture
def etc(tmp_path: Path) -> Callable[[str], Path]:
    """Put a configuration where its absolute paths exist."""

    def place(text: str) -> Path:
        for user, password in PASSWORDS.items():
            file = tmp_path / "etc/epochgate/redis" / user
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(password)
        config = tmp_path / "config.yaml"
        config.write_text(text.replace(" /etc/", f" {tmp_path}/etc/"))
        return config

    return place


def test_the_example_of_a_sidecar_is_accepted(etc: Callable[[str], Path]) -> None:
    text = (DEPLOY / "examples" / "sidecar.yaml").read_text()
    config = read.read_sidecar(etc(text), {}).config
    assert (str(config.proxy.inbound), config.status.port) == ("0.0.0.0:17001", 17011)
    assert (config.sync.quorum, config.sync.ttl_ms, len(config.sync.peers)) == (2, 4000, 3)
    assert {(p.username, p.password) for p in config.sync.peers} == {("reader", "reads-only")}


def test_the_example_of_an_authority_is_accepted(etc: Callable[[str], Path]) -> None:
    text = (DEPLOY / "examples" / "authority.yaml").read_text()
    config = read.read_authority(etc(text), {}).config
    assert {(p.username, p.password) for p in config.peers} == {("writer", "writes")}


def test_sidecars_and_authorities_talk_to_the_same_peers(etc: Callable[[str], Path]) -> None:
    texts = [
        (DEPLOY / "examples" / name).read_text() for name in ("sidecar.yaml", "authority.yaml")
    ]
    reads = read.read_sidecar(etc(texts[0]), {}).config.sync.peers
    writes = read.read_authority(etc(texts[1]), {}).config.peers
    assert [(p.id, p.host, p.port) for p in reads] == [(p.id, p.host, p.port) for p in writes]


@pytest.mark.parametrize("role", ["sidecar", "authority"])
def test_the_manifests_hold_the_examples(role: str) -> None:
    held = named("ConfigMap", f"epochgate-{role}")["data"][f"{role}.yaml"]
    assert yaml.safe_load(held) == documents(DEPLOY / "examples" / f"{role}.yaml")[0]


# Users of a peer.


def render(folder: Path, domain: str = DOMAIN) -> str:
    for user, password in PASSWORDS.items():
        (folder / user).write_text(f"{password}\n")
    with (DEPLOY / "redis" / "users.acl").open() as template:
        return subprocess.run(
            ["sh", DEPLOY / "redis" / "render.sh", domain, folder / "reader", folder / "writer"],
            stdin=template, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip


@pytest.fixture
def server(tmp_path: Path, make_valkey: Callable[..., ValkeyServer]) -> ValkeyServer:
    """A real server under the shipped configuration and users."""
    users = tmp_path / "users.acl"
    users.write_text(render(tmp_path))
    return make_valkey({"include": str(DEPLOY / "redis" / "redis.conf"), "aclfile": str(users)})


@pytest.fixture
def clients(server: ValkeyServer) -> Iterator[dict[str, redis.Redis]]:
    made = {
        user: redis.Redis(
            "127.0.0.1", server.port, username=user, password=password, protocol=2, socket_timeout=5
        )
        for user, password in PASSWORDS.items()
    }
    yield made
    for client in made.values():
        client.close()


def run(client: redis.Redis, command: tuple[str, ...]) -> None:
    client.execute_command(*command)  # type: ignore[no-untyped-call]


def peer(server: ValkeyServer, user: str) -> Peer:
    return Peer(replace(server.address(), username=user, password=PASSWORDS[user]), 5_000)


@pytest.mark.redis
async def test_a_sidecar_reads_with_the_reader_what_an_authority_writes(
    server: ValkeyServer,
) -> None:
    writer, reader = peer(server, "writer"), peer(server, "reader")
    halts = layout.halts_key(DOMAIN)
    commands = [("SET", KEY, b"v"), ("HSET", halts, "f", b"h"), ("PUBLISH", CHANNEL, b"")]
    await writer.write(commands, b"t1")
    for side in (reader, writer):
        found = await side.read((KEY, layout.head_key(DOMAIN)), (halts,), 1000, b"t2")
        assert found == {KEY: (b"v",), layout.head_key(DOMAIN): (), halts: (b"h",)}
        side.close()


@pytest.mark.redis
async def test_the_reader_hears_of_what_is_published(
    server: ValkeyServer, clients: dict[str, redis.Redis]
) -> None:
    channel = layout.push_channel(DOMAIN)
    async with asyncio.TaskGroup() as group:
        heard = group.create_task(_first(peer(server, "reader").hints(channel)))
        # Nobody may be subscribed yet: publish until somebody was.
        while not heard.done() and not clients["writer"].publish(channel, b""):
            await asyncio.sleep(0)


async def _first(hints: AsyncIterator[None]) -> None:
    async for _ in hints:
        return


@pytest.mark.redis
@pytest.mark.parametrize(
    "command",
    [
        ("SET", KEY, "x"), ("HSET", KEY, "a", "b"), ("PUBLISH", CHANNEL, ""), ("DEL", KEY),
        ("GET", "other"), ("GET", "eg:{other}:beat:x"), ("KEYS", "*"), ("FLUSHALL",),
        ("CONFIG", "GET", "*"), ("ACL", "LIST"), ("EVAL", "return 1", "0"), ("EXPIRE", KEY, "1"),
        ("SUBSCRIBE", "eg:{other}:push"), ("PSUBSCRIBE", "*"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_the_reader_can_do_nothing_else(
    clients: dict[str, redis.Redis], command: tuple[str, ...]
) -> None:
    with pytest.raises(redis.exceptions.NoPermissionError):
        run(clients["reader"], command)


@pytest.mark.redis
@pytest.mark.parametrize(
    "command",
    [
        ("DEL", KEY), ("HDEL", KEY, "a"), ("RENAME", KEY, KEY + "2"), ("EXPIRE", KEY, "1"),
        ("SET", "other", "x"), ("SET", "eg:{other}:beat:x", "x"), ("PUBLISH", "other", ""),
        ("FLUSHALL",), ("CONFIG", "SET", "maxmemory", "1"), ("SHUTDOWN",), ("ACL", "LIST"),
        ("EVAL", "return 1", "0"), ("REPLICAOF", "127.0.0.1", "1"),
    ],
    ids=" ".join,
)  # fmt: skip
def test_the_writer_cannot_take_anything_back(
    clients: dict[str, redis.Redis], command: tuple[str, ...]
) -> None:
    with pytest.raises(redis.exceptions.NoPermissionError):
        run(clients["writer"], command)


@pytest.mark.redis
async def test_a_sidecar_writes_its_report_and_reads_its_proof(
    server: ValkeyServer,
) -> None:
    reader, writer = peer(server, "reader"), peer(server, "writer")
    reports, proofs = layout.reports_key(DOMAIN), layout.proofs_key(DOMAIN, "f" * 64)
    await writer.write([("HSET", proofs, "one", b"proof")], b"t1")
    want = ReadPeer(
        PeerId("p"), 1, (), (), 1000, ((proofs, "one"),), (("HSET", reports, "one", b"report"),)
    )
    found, wrote = await reader.ask(want, b"t2")
    assert wrote
    assert found == {layout.field_name(proofs, "one"): (b"proof",)}
    assert (await writer.read((), (reports,), 1000, b"t3"))[reports] == (b"report",)
    heads = layout.heads_key(DOMAIN)
    want = ReadPeer(PeerId("p"), 1, (), (), 1000, (), (("HSET", heads, "log", b"head"),))
    assert await reader.ask(want, b"t4") == ({}, True)
    for side in (reader, writer):
        side.close()


@pytest.mark.redis
async def test_a_denied_report_does_not_spoil_what_is_read(server: ValkeyServer) -> None:
    """Under the clock anchor a sidecar that may not write its reports serves all the same."""
    writer = peer(server, "writer")
    await writer.write([("SET", KEY, b"value")], b"t1")
    writer.close()
    want = ReadPeer(PeerId("p"), 1, (KEY,), (), 1000, (), (("HSET", KEY + ":x", "one", b"r"),))
    reader = peer(server, "reader")
    assert await reader.ask(want, b"t2") == ({KEY: (b"value",)}, False)
    assert reader.connected, "the connection is still in step"
    reader.close()


def test_the_writer_takes_away_proofs_and_reports_of_who_left_and_no_halt(
    clients: dict[str, redis.Redis],
) -> None:
    writer = clients["writer"]
    for key in (layout.proofs_key("example", "0" * 64), layout.reports_key("example")):
        run(writer, ("HSET", key, "a", "b"))
        run(writer, ("HDEL", key, "a"))
    run(writer, ("DEL", layout.proofs_key("example", "0" * 64)))
    halts = layout.halts_key("example")
    run(writer, ("HSET", halts, "a", "b"))
    for command in (("HDEL", halts, "a"), ("DEL", halts)):
        with pytest.raises(redis.exceptions.NoPermissionError):
            run(writer, command)


@pytest.mark.redis
async def test_nobody_gets_in_without_a_user(server: ValkeyServer) -> None:
    with pytest.raises(PeerError) as caught:
        await Peer(server.address(), 5_000).read((KEY,), (), 100, b"t")
    assert caught.value.fault is Fault.DENIED
    with pytest.raises(PeerError) as caught:
        await Peer(replace(server.address(), username="reader", password="x"), 5_000).read(
            (KEY,), (), 100, b"t"
        )


def test_rendering_leaves_no_password_no_comment_and_no_placeholder(tmp_path: Path) -> None:
    lines = render(tmp_path).splitlines()
    assert [line.split()[:2] for line in lines] == [
        ["user", "default"], ["user", "reader"], ["user", "writer"],
    ]  # fmt: skip
    text = "\n".join(lines)
    assert "@" not in text.replace("-@all", "")
    assert not any(password in text for password in PASSWORDS.values())


@pytest.mark.parametrize("domain", ["", "a b", "x/&~*", "A", "a;b"])
def test_attack_by_a_domain_that_would_say_more_than_a_name(tmp_path: Path, domain: str) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        render(tmp_path, domain)


def test_peers_keep_what_they_are_given() -> None:
    lines = (DEPLOY / "redis" / "redis.conf").read_text().splitlines()
    for line in ("maxmemory-policy noeviction", "appendonly yes", "protected-mode yes"):
        assert line in lines
    assert not [line for line in lines if line.startswith(("replicaof", "cluster-"))]
