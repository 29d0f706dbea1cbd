"""Rules of a policy from YAML to what is signed."""

from pathlib import Path

import pytest

from sidecar.cli import source
from sidecar.core import canonical, policy
from tests.cli.written import POLICY, found


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "f.yaml"


def test_a_policy_becomes_the_bytes_that_a_sidecar_compiles(file: Path) -> None:
    file.write_text(POLICY)
    body = canonical.load(source.load_policy(file), policy.Body, policy.MAX_BYTES)
    chat, rest = body.rules
    assert chat == policy.RuleBody(
        name="chat", action="permit", methods=("POST",), paths=("/v1/**",),
        headers=(policy.HeaderEquals(name="x-tier", value="1"),), in_flight="cut",
    )  # fmt: skip
    assert rest == policy.RuleBody(
        name="rest", action="deny", methods=(), paths=("/**",), headers=(), in_flight="cut"
    )
    assert (body.name, body.type) == ("p", policy.TYPE)


def test_a_rule_can_let_what_runs_drain(file: Path) -> None:
    file.write_text(POLICY.replace("cut", "{drain: 5s}"))
    [chat, _] = policy.parse(source.load_policy(file)).rules
    assert chat.drain_ms == 5000


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("Fail", "Ignore", "5:18: spec.failurePolicy: 'Ignore' is not Fail"),
        ("failurePolicy", "failPolicy", "unknown key; did you mean failurePolicy?"),
        ("permit", "allow", "8:15: spec.rules[0].action: 'allow' is not permit or deny"),
        ("POST", "post", "9:17: spec.rules[0].methods[0]: 'post' must be upper-case"),
        ("/v1/**", "/**/x", "10:15: spec.rules[0].paths[0]: '/**/x' ** may only be the last"),
        ('["/v1/**"]', "[]", "10:14: spec.rules[0].paths: must list at least one path"),
        ('["/v1/**"]', "['']", "10:15: spec.rules[0].paths[0]: '' must start with /"),
        ("x-tier", "X-Tier", "headers[0].name: 'X-Tier' must be a header name in lower case"),
        ('"1"', '" 1"', "headers[0].value: ' 1' must be printable ASCII"),
        ("cut", "drain", "12:17: spec.rules[0].inFlight: 'drain' is not cut"),
        ("cut", "{}", "12:17: spec.rules[0].inFlight.drain: is missing"),
        ("cut", "{drain: 5}", "12:25: spec.rules[0].inFlight.drain: must be a duration like"),
        ("cut", "{drain: 0s}", "12:25: spec.rules[0].inFlight.drain: must be 1ms to 5m"),
        ("cut", "{drain: 6m}", "12:25: spec.rules[0].inFlight.drain: must be 1ms to 5m"),
        ("name: rest", "name: chat", "13:14: spec.rules[1].name: 'chat' is used twice"),
        ("action: deny, ", "", "13:7: spec.rules[1].action: is missing"),
    ],
)
def test_what_is_wrong_with_a_policy_is_said_with_its_place(
    file: Path, old: str, new: str, says: str
) -> None:
    assert says in "\n".join(found(file, POLICY.replace(old, new, 1), source.POLICY))
