"""One file and the environment, read into the values of the program."""

import re
from collections.abc import Mapping
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sidecar.config.problem import ConfigError
from sidecar.config.read import read_any, read_authority, read_sidecar
from sidecar.config.sections import (
    Address,
    AuthorityConfig,
    Limits,
    MeasuredFile,
    PeerAddress,
    SidecarConfig,
    Sink,
    WitnessAddress,
)
from tests.config.builders import AUTHORITY, SIDECAR, write

NOTHING: Mapping[str, str] = {}
# Slow machines make the data slowly; that is no finding.
SUPPRESSED = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow]


def problems(folder: Path, text: str, environment: Mapping[str, str] = NOTHING) -> dict[str, str]:
    """Path (or origin, where there is no path) -> message."""
    with pytest.raises(ConfigError) as refused:
        read_sidecar(write(folder, text), environment)
    found = refused.value.problems
    return {problem.path or problem.origin: problem.message for problem in found}


def test_a_small_file_is_read_with_its_defaults(tmp_path: Path) -> None:
    loaded = read_sidecar(write(tmp_path, SIDECAR), NOTHING)
    config = loaded.config
    assert loaded.name == "test"
    assert (config.service, config.region) == ("chat", "eu-1")
    assert config.trust_file == tmp_path / "trust.json"
    assert config.audit.dir == tmp_path / "state" / "audit"
    assert config.proxy.inbound == Address("127.0.0.1", 17001)
    assert config.status == Address("127.0.0.1", 17011)
    assert config.proxy.limits == Limits()
    assert (config.sync.ttl_ms, config.sync.skew_ms, config.sync.drift_ppm) == (4000, 500, 2000)
    assert config.sync.peers[2] == PeerAddress("r3", "::1", 6381, db=2, username="ops")


def test_an_authority_is_read(tmp_path: Path) -> None:
    config = read_authority(write(tmp_path, AUTHORITY), NOTHING).config
    assert config.trust_file == Path("/etc/epochgate/trust.json")
    assert config.beat_key_file == tmp_path / "beat.key"
    assert (config.beat.ttl_ms, config.beat.interval_ms, config.beat.publish_ms) == (4000, 500, 100)
    assert len(config.peers) == 3


def test_the_kind_in_the_file_decides_for_tools(tmp_path: Path) -> None:
    assert isinstance(read_any(write(tmp_path, SIDECAR), NOTHING).config, SidecarConfig)
    assert isinstance(read_any(write(tmp_path, AUTHORITY), NOTHING).config, AuthorityConfig)


def test_the_environment_wins_and_is_named_as_origin(tmp_path: Path) -> None:
    environment = {
        "EPOCHGATE_SYNC__POLL": "100ms",
        "EPOCHGATE_LISTEN__INBOUND": "[::]:8080",
        "EPOCHGATE_WARM_CONNECTIONS": "0",
        "EPOCHGATE_SYNC__PEERS": "[{id: a, url: 'redis://h:1'}, {id: b, url: 'redis://h:2'}]",
        "PATH": "/bin",
    }
    path = write(tmp_path, SIDECAR)
    loaded = read_sidecar(path, environment)
    assert loaded.config.sync.poll_ms == 100
    assert loaded.config.proxy.inbound == Address("::", 8080)
    assert loaded.config.proxy.warm_connections == 0
    assert [peer.id for peer in loaded.config.sync.peers] == ["a", "b"]
    origins = {setting.path: (setting.value, setting.origin) for setting in loaded.origins}
    assert origins["spec.sync.poll"] == ("100ms", "EPOCHGATE_SYNC__POLL")
    assert origins["spec.sync.ttl"] == ("4s", f"{path}:16:10")
    assert origins["spec.sync.timeout"] == ("300ms", "default")
    assert origins["spec.audit.dir"][1] == "default"
    assert origins["spec.sync.peers[0].id"] == ("a", "EPOCHGATE_SYNC__PEERS:1:7")


def test_a_variable_of_ours_that_is_misspelled_is_refused_and_others_are_not(
    tmp_path: Path,
) -> None:
    found = problems(tmp_path, SIDECAR, {"EPOCHGATE_SYNC__TTTL": "1s"})
    assert found == {"EPOCHGATE_SYNC__TTTL": "is no known variable; did you mean "
                     "EPOCHGATE_SYNC__TTL?"}  # fmt: skip
    kubernetes = {"EPOCHGATE_PORT": "tcp://10.0.0.1:80", "EPOCHGATE_SERVICE_HOST": "10.0.0.1"}
    read_sidecar(write(tmp_path, SIDECAR), kubernetes)


def test_every_problem_is_reported_at_once_with_its_place(tmp_path: Path) -> None:
    text = SIDECAR.replace("service: chat", "servise: chat").replace("ttl: 4s", "ttl: 4")
    text = text.replace("quorum: 2", "quorum: 9").replace('"127.0.0.1:17001"', '"17001"')
    path = write(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        read_sidecar(path, {"EPOCHGATE_LOG__LEVEL": "loud"})
    lines = [str(problem) for problem in refused.value.problems]
    assert lines == [
        f"{path}:5:3: spec.servise: is no known key; did you mean service?",
        "spec.service: is required: The service behind, as epochs name it.",
        f'{path}:9:21: spec.listen.inbound: must be "host:port" with a port up to 65535, IPv6 as '
        '"[::1]:port", or unix:/path/of/a/socket',
        f"{path}:16:10: spec.sync.ttl: must be a duration like 250ms, 4s or 2m: the unit is "
        "missing",
        "EPOCHGATE_LOG__LEVEL: spec.log.level: must be one of debug, info, warning, error",
        f"{path}:15:13: spec.sync.quorum: must be 2 to 3: more than half of the peers",
    ]


@pytest.mark.parametrize(
    "line", ["service: chat", "region: eu-1", "trust: {file: trust.json}", "state: {dir: state}",
             'listen: {inbound: "127.0.0.1:17001"}', "quorum: 2", "ttl: 4s", "skew: 500ms",
             "drift: 2000ppm"],
)  # fmt: skip
def test_what_somebody_has_to_write_down_has_no_default(line: str, tmp_path: Path) -> None:
    assert line in SIDECAR
    found = problems(tmp_path, SIDECAR.replace(line, ""))
    assert [message for message in found.values() if message.startswith("is required")]


@pytest.mark.parametrize(
    ("old", "new", "path"),
    [
        ("kind: SidecarConfig", "kind: Sidecar", "kind"),
        ("v1alpha1", "v2", "apiVersion"),
        ("{name: test}", "{name: Test}", "metadata.name"),
        ("{name: test}", "{nam: test}", "metadata.nam"),
        ("metadata:", "meta:", "meta"),
        ("ttl: 4s", "ttl: 25h", "spec.sync.ttl"),
        ("ttl: 4s", "ttl: [4s]", "spec.sync.ttl"),
        ("ttl: 4s", "ttl:", "spec.sync.ttl"),
        ("trust: {file: trust.json}", "trust: trust.json", "spec.trust"),
        ("id: r2", "id: R2", "spec.sync.peers[1].id"),
        ("id: r2, ", "", "spec.sync.peers[1].id"),
        ("id: r2", "name: x, id: r2", "spec.sync.peers[1].name"),
        ('"redis://127.0.0.1:6380"', '"http://h"', "spec.sync.peers[1].url"),
        ('- {id: r2, url: "redis://127.0.0.1:6380"}', "- r2", "spec.sync.peers[1]"),
        ('6380"}', '6380", passwordFile: none}', "spec.sync.peers[1]"),
        ("state: {dir: state}", 'state: {dir: "a\\0b"}', "spec.state.dir"),
    ],
)
def test_a_wrong_value_is_refused_at_its_path(
    old: str, new: str, path: str, tmp_path: Path
) -> None:
    assert old in SIDECAR
    assert path in problems(tmp_path, SIDECAR.replace(old, new, 1))


@pytest.mark.parametrize("text", ["[]", "x", "a: [", "a: 1\na: 2"])
def test_a_file_of_another_shape_is_refused(text: str, tmp_path: Path) -> None:
    assert problems(tmp_path, text)


def test_a_missing_or_unreadable_file_is_a_config_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        read_sidecar(tmp_path / "none.yaml", NOTHING)
    (tmp_path / "bad.yaml").write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigError, match="UTF-8"):
        read_any(tmp_path / "bad.yaml", NOTHING)


def test_a_list_in_a_variable_that_is_no_yaml_is_refused(tmp_path: Path) -> None:
    found = problems(tmp_path, SIDECAR, {"EPOCHGATE_SYNC__PEERS": "[{"})
    assert any("is not YAML" in message for message in found.values())


def test_a_password_is_read_from_its_file_and_never_shown(tmp_path: Path) -> None:
    (tmp_path / "password").write_text("hunter2\n")
    text = SIDECAR.replace('6380"}', '6380", passwordFile: password}')
    loaded = read_sidecar(write(tmp_path, text), NOTHING)
    assert loaded.config.sync.peers[1].password == "hunter2"
    assert "hunter2" not in repr(loaded)


def test_a_password_in_a_url_is_refused_and_never_repeated(tmp_path: Path) -> None:
    text = SIDECAR.replace("ops@", "ops:hunter2@")
    found = problems(tmp_path, text)
    assert "passwordFile" in found["spec.sync.peers[2].url"]
    assert "hunter2" not in str(found)


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(
    ["4s", "250ms", "64KiB", "2000ppm", "chat", "redis://h:1", "127.0.0.1:1", "r1"]
)  # fmt: skip
KEYS = (
    st.sampled_from(["sync", "peers", "ttl", "id", "url", "limits", "head", "quorum"]) | st.text()
)
TREES = st.recursive(LEAVES, lambda t: st.lists(t) | st.dictionaries(KEYS, t), max_leaves=20)


# No deadline: how long it takes is the machine's affair, and not what is asked here.
@settings(max_examples=50, deadline=None, suppress_health_check=SUPPRESSED)
@given(st.dictionaries(KEYS, TREES), st.dictionaries(KEYS, TREES))
def test_any_tree_is_a_configuration_or_a_config_error(
    tmp_path: Path, spec: dict[str, object], sync: dict[str, object]
) -> None:
    root = yaml.safe_load(SIDECAR)
    root["spec"] |= spec
    if isinstance(root["spec"].get("sync"), dict):
        root["spec"]["sync"] |= sync
    path = write(tmp_path, yaml.safe_dump(root))
    try:
        assert read_sidecar(path, NOTHING).config.service
    except ConfigError:
        return


@settings(max_examples=50, suppress_health_check=SUPPRESSED)
@given(st.binary())
def test_any_bytes_are_a_configuration_or_a_config_error(tmp_path: Path, raw: bytes) -> None:
    path = tmp_path / "raw.yaml"
    path.write_bytes(raw)
    with pytest.raises(ConfigError):
        read_any(path, NOTHING)


def test_ports_are_a_list_in_the_file_and_in_a_variable(tmp_path: Path) -> None:
    text = SIDECAR + '  intercept: {ports: [8000, "9000-9010"], loopback: standard}\n'
    loaded = read_sidecar(write(tmp_path, text), {"EPOCHGATE_INTERCEPT__EXCLUDE": "[9005]"})
    intercept = loaded.config.intercept
    assert intercept.ports == ((8000, 8000), (9000, 9010))
    assert intercept.exclude == ((9005, 9005),)
    assert (intercept.uid, intercept.loopback) == (17117, "standard")
    shown = {setting.path: setting.value for setting in loaded.origins}
    assert shown["spec.intercept.ports"] == "[8000, 9000-9010]"
    assert shown["spec.listen.transparent"] == "false"


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ("ports: 8000", "spec.intercept.ports"),
        ("ports: [8000, 99999]", "spec.intercept.ports[1]"),
        ("ports: [[8000]]", "spec.intercept.ports[0]"),
        (f"ports: {list(range(1, 66))}", "spec.intercept.ports"),
        ("loopback: open", "spec.intercept.loopback"),
    ],
)
def test_what_is_no_list_of_ports_is_named(tmp_path: Path, said: str, path: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_sidecar(write(tmp_path, f"{SIDECAR}  intercept: {{{said}}}\n"), {})
    assert [problem.path for problem in refused.value.problems] == [path]


def test_files_to_be_measured_are_a_list_in_the_file_and_in_a_variable(tmp_path: Path) -> None:
    text = SIDECAR + "  integrity: {period: 30s, files: [{name: weights, path: model/weights}]}\n"
    loaded = read_sidecar(write(tmp_path, text), {"EPOCHGATE_INTEGRITY__IMAGE_DIGEST": "sha256:1"})
    found = loaded.config.integrity
    assert found.files == (MeasuredFile("weights", tmp_path / "model/weights"),)
    assert (found.period_ms, found.max_age_ms, found.image_digest) == (30_000, 120_000, "sha256:1")
    named = {"EPOCHGATE_INTEGRITY__FILES": "[{name: other, path: /other}]"}
    found = read_sidecar(write(tmp_path, text), named).config.integrity
    assert found.files == (MeasuredFile("other", Path("/other")),)


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ("files: weights", "spec.integrity.files"),
        ("files: [weights]", "spec.integrity.files[0]"),
        ("files: [{name: weights}]", "spec.integrity.files[0].path"),
        ("files: [{name: A B, path: x}]", "spec.integrity.files[0].name"),
        ("files: [{name: a, path: x, sha256: y}]", "spec.integrity.files[0].sha256"),
        ("files: [{name: a, path: x}, {name: a, path: y}]", "spec.integrity.files[1].name"),
        ("period: 0", "spec.integrity.period"),
        (f"imageDigest: {'1' * 513}", "spec.integrity.imageDigest"),
        ("period: 2m, maxAge: 3m", "spec.integrity.maxAge"),
    ],
)
def test_what_cannot_be_measured_so_is_named(tmp_path: Path, said: str, path: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_sidecar(write(tmp_path, f"{SIDECAR}  integrity: {{{said}}}\n"), {})
    assert [problem.path for problem in refused.value.problems] == [path]


def test_witnesses_are_a_list_in_the_file_and_in_a_variable(tmp_path: Path) -> None:
    text = SIDECAR + "  audit: {witnesses: [{url: 'http://w.example:17013/'}]}\n"
    found = read_sidecar(write(tmp_path, text), {}).config.audit.witnesses
    assert found == (WitnessAddress("http://w.example:17013"),)
    named = {"EPOCHGATE_AUDIT__WITNESSES": "[{url: 'https://[::1]/w'}]"}
    found = read_sidecar(write(tmp_path, text), named).config.audit.witnesses
    assert found == (WitnessAddress("https://[::1]/w"),)


@pytest.mark.parametrize(
    "url",
    [
        "w",
        "ftp://w",
        "http://",
        "http://w:0",
        "http://w:x",
        "http://w?a",
        "http://w#a",
        "http://a@w",
    ],
)
def test_where_nobody_can_be_asked_is_named(tmp_path: Path, url: str) -> None:
    with pytest.raises(ConfigError) as refused:
        read_sidecar(write(tmp_path, f"{SIDECAR}  audit: {{witnesses: [{{url: '{url}'}}]}}\n"), {})
    assert [problem.path for problem in refused.value.problems] == ["spec.audit.witnesses[0].url"]


SINKS = """\
  audit:
    sinks:
      - {name: stream, kind: redis, url: "rediss://w@r9/1", passwordFile: pw, caFile: ca.pem,
         maxLen: 9}
      - {name: opa, kind: http, url: "https://h:8443/logs", tokenFile: pw, required: true,
         maxLag: 30s}
      - {name: otel, kind: otlp, url: "http://[::1]:4318/v1/logs", timeout: 1s}
      - {name: out, kind: stdout, required: false}
"""


def test_sinks_are_read_with_their_secrets_which_nobody_is_shown(tmp_path: Path) -> None:
    (tmp_path / "pw").write_text("hunter2\n")
    loaded = read_sidecar(write(tmp_path, SIDECAR + SINKS), {})
    assert loaded.config.audit.sinks == (
        Sink(
            "stream", "redis", "rediss://w@r9/1", username="w", secret="hunter2",
            ca_file=tmp_path / "ca.pem", max_len=9,
        ),
        Sink(
            "opa", "http", "https://h:8443/logs", required=True, max_lag_ms=30_000, secret="hunter2"
        ),
        Sink("otel", "otlp", "http://[::1]:4318/v1/logs", timeout_ms=1000),
        Sink("out", "stdout"),
    )  # fmt: skip
    said = {item.path: item.value for item in loaded.origins}
    assert said["spec.audit.sinks[1].maxLag"] == "30s"
    assert "hunter2" not in repr(loaded.config) + repr(loaded.origins)
    without = read_sidecar(write(tmp_path, SIDECAR), {})
    assert without.config.audit.sinks == ()


REDIS = 'name: a, kind: redis, url: "redis://h"'
HTTP = 'name: a, kind: http, url: "http://h/logs"'


@pytest.mark.parametrize(
    ("said", "path", "why"),
    [
        ("name: a", "spec.audit.sinks[0].kind", "is required"),
        ("name: a, kind: kafka", "spec.audit.sinks[0].kind", "one of redis, http, otlp, stdout"),
        ("name: a, kind: http", "spec.audit.sinks[0]", "url is required for kind http"),
        ('name: a, kind: http, url: "redis://h"', "spec.audit.sinks[0]", "url must be http://"),
        ('name: a, kind: http, url: "http://u:p@h/"', "spec.audit.sinks[0]", "use tokenFile"),
        ('name: a, kind: otlp, url: "http://h/?t=1"', "spec.audit.sinks[0]", "without query"),
        ('name: a, kind: otlp, url: "http://h:0/"', "spec.audit.sinks[0]", "url must be http://"),
        ('name: a, kind: otlp, url: "http://h:x/"', "spec.audit.sinks[0]", "url must be http://"),
        ('name: a, kind: redis, url: "redis://u:p@h"', "spec.audit.sinks[0]", "use passwordFile"),
        (f"{REDIS}, required: true", "spec.audit.sinks[0]", "required needs maxLag"),
        (f"{REDIS}, maxLag: 5s", "spec.audit.sinks[0]", "maxLag has no effect without required"),
        (f"{REDIS}, required: true, maxLag: 0", "spec.audit.sinks[0].maxLag", "must be 1s to"),
        (f"{REDIS}, required: maybe", "spec.audit.sinks[0].required", "must be true or false"),
        (f"{REDIS}, tokenFile: x", "spec.audit.sinks[0]", "tokenFile has no effect for kind redis"),
        (f"{REDIS}, caFile: x", "spec.audit.sinks[0]", "caFile has no effect without TLS"),
        (f"{REDIS}, passwordFile: none", "spec.audit.sinks[0]", "passwordFile .*cannot be read"),
        (f"{HTTP}, maxLen: 3", "spec.audit.sinks[0]", "maxLen has no effect for kind http"),
        (f"{HTTP}, tokenFile: none", "spec.audit.sinks[0]", "tokenFile .*cannot be read"),
        ("name: a, kind: stdout, url: x", "spec.audit.sinks[0]", "url has no effect for kind"),
        (f"{HTTP}}}, {{{REDIS}", "spec.audit.sinks[1].name", "the name of another sink too"),
        ('name: a, kind: redis, url: "redis://u@h", username: v', "spec.audit.sinks[0]", "differs"),
    ],
)
def test_a_sink_that_cannot_be_meant_so_is_named(
    tmp_path: Path, said: str, path: str, why: str
) -> None:
    with pytest.raises(ConfigError) as refused:
        read_sidecar(write(tmp_path, f"{SIDECAR}  audit: {{sinks: [{{{said}}}]}}\n"), {})
    [problem] = refused.value.problems
    assert problem.path == path
    assert re.search(why, problem.message)
    line = SIDECAR.count("\n") + 1
    assert f":{line}:" in problem.origin or why == "is required", "where it stands"
