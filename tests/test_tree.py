"""The code as text: the rules of the tree that no linter knows.

Sizes, one word for each thing, who may build a `Permit`, and a test file for each source file.
Each rule is a function from one parsed file to what it finds wrong, so that the rule itself is
tested on a planted fault before it is trusted with the tree.
"""

import ast
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "sidecar"
TESTS = ROOT / "tests"

FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 60

# What is not said -> what is said. Read as whole words inside a name: `is_allowed`, `AllowList`.
BANNED_WORDS = {
    "allow": "permit",
    "allowed": "permitted",
    "allowlist": "rule or routes",
    "backend": "upstream",
    "block": "denial",
    "blocked": "contained or denied",
    "blocklist": "rule",
    "breaker": "hold",
    "bypass": "exempt",
    "freeze": "halt",
    "heartbeat": "beat",
    "keyring": "trust",
    "leader": "authority",
    "poller": "follower",
    "pulse": "beat",
    "reject": "deny",
    "rejected": "denied",
    "replica": "peer",
    "ruleset": "policy",
    "spool": "journal",
    "syncer": "follower",
    "thaw": "clear",
    "tripped": "contained",
    "wal": "journal",
    "watchdog": "deadline",
    "watermark": "marks",
}
# Names that a standard gave to something, and that readers would look for.
FOREIGN_NAMES = {"METHOD_NOT_ALLOWED"}  # status 405, RFC 9110

BANNED_MODULES = {"utils", "util", "helpers", "helper", "common", "manager", "base", "misc"}

# A source file without a test file of its own -> why, and what tests it instead.
UNMIRRORED: dict[str, str] = {}

UNFINISHED = re.compile(r"\b(TO" + r"DO|FIX" + r"ME)\b")  # split: this file is searched too


@dataclass(frozen=True, slots=True)
class Source:
    """One Python file: where it is, relative to the root, and its syntax tree."""

    path: Path
    text: str

    @property
    def tree(self) -> ast.Module:
        return ast.parse(self.text, filename=str(self.path))


Rule = Callable[[Source], Iterator[str]]


def read(*folders: str) -> list[Source]:
    """Every Python file in `folders`, in a stable order."""
    paths = sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))
    return [Source(path.relative_to(ROOT), path.read_text("utf-8")) for path in paths]


def too_long(source: Source) -> Iterator[str]:
    lines = len(source.text.splitlines())
    if lines > FILE_LINES_MAX:
        yield f"{source.path}: {lines} lines (at most {FILE_LINES_MAX})"
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            if size > FUNCTION_LINES_MAX:
                yield f"{source.path}:{node.lineno}: {node.name} has {size} lines"


def defined_names(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Names this file chooses. Names of other people's code, which it only uses, are not ours."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                yield name, node.lineno
            case ast.ClassDef(name=name):
                yield name, node.lineno
            case ast.arg(arg=name):
                yield name, node.lineno
            case ast.Name(id=name, ctx=ast.Store()):
                yield name, node.lineno
            case ast.Attribute(attr=name, ctx=ast.Store()):
                yield name, node.lineno
            case _:
                pass


def words(name: str) -> set[str]:
    """`isAllowed`, `is_allowed` and `IS_ALLOWED` are the same words."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", name)
    return set(spaced.lower().split("_"))


def banned_names(source: Source) -> Iterator[str]:
    path = source.path
    for name, line in [*defined_names(source.tree), (path.stem, 1), (path.parent.name, 1)]:
        if name in FOREIGN_NAMES:
            continue
        for word in sorted(words(name) & BANNED_WORDS.keys()):
            yield f"{path}:{line}: {name}: do not say {word}, say {BANNED_WORDS[word]}"


def built_permits(source: Source) -> Iterator[str]:
    """Calls of `Permit`, and imports that give it another name under which it could be called."""
    for node in ast.walk(source.tree):
        match node:
            case ast.Call(func=ast.Name(id="Permit") | ast.Attribute(attr="Permit")):
                yield f"{source.path}:{node.lineno}: builds a Permit"
            case ast.ImportFrom(names=names):
                if any(alias.name == "Permit" and alias.asname for alias in names):
                    yield f"{source.path}:{node.lineno}: renames Permit"
            case _:
                pass


def mirror(path: Path) -> Path:
    """Where the test file of a source file belongs: core/lease.py -> core/test_lease.py."""
    inside = path.relative_to("sidecar")
    return Path("tests") / inside.parent / f"test_{inside.name}"


SOURCES = read("sidecar")
MIRRORED = [source.path for source in SOURCES if not source.path.name.startswith("__")]


@pytest.mark.parametrize(
    ("rule", "text"),
    [
        (too_long, "x = 1\n" * (FILE_LINES_MAX + 1)),
        (too_long, "async def f():\n" + "    x = 1\n" * FUNCTION_LINES_MAX),
        (banned_names, "def is_allowed(): ..."),
        (banned_names, "class HTTPBackendPool: ..."),
        (banned_names, "def f(block_ms): ..."),
        (banned_names, "self.heartbeat = 1"),
        (built_permits, "Permit(rule)"),
        (built_permits, "gate.Permit(rule)"),
        (built_permits, "from sidecar.core.gate import Permit as P"),
    ],
)
def test_a_planted_fault_is_found(rule: Rule, text: str) -> None:
    assert list(rule(Source(Path("sidecar/core/planted.py"), text)))


def test_names_that_are_only_used_are_not_ours_to_change() -> None:
    text = "session.get(url, allow_redirects=False); header = 'reject'; x = queue.block"
    assert list(banned_names(Source(Path("sidecar/x.py"), text))) == []


def test_there_is_a_tree_to_judge() -> None:
    """An empty list would make every rule below hold for nothing."""
    assert Path("sidecar/__init__.py") in {source.path for source in SOURCES}


@pytest.mark.parametrize("source", SOURCES, ids=lambda source: str(source.path))
def test_a_file_is_short_and_speaks_the_vocabulary(source: Source) -> None:
    assert [*too_long(source), *banned_names(source)] == []


def test_only_the_gate_builds_a_permit() -> None:
    """The upstream demands a Permit; hence nothing reaches it that `decide` has not seen."""
    others = [source for source in SOURCES if source.path != Path("sidecar/core/gate.py")]
    assert [fault for source in others for fault in built_permits(source)] == []


def test_every_module_is_named_after_what_is_in_it() -> None:
    parts = {(part, str(s.path)) for s in SOURCES for part in s.path.with_suffix("").parts}
    assert sorted(path for part, path in parts if part in BANNED_MODULES) == []


@pytest.mark.parametrize("path", MIRRORED, ids=str)
def test_a_source_file_has_a_test_file(path: Path) -> None:
    if str(path) not in UNMIRRORED:
        assert (ROOT / mirror(path)).is_file(), f"write {mirror(path)}"


def test_exceptions_to_mirroring_are_still_needed() -> None:
    stale = [path for path in UNMIRRORED if (ROOT / mirror(Path(path))).exists()]
    gone = [path for path in UNMIRRORED if not (ROOT / path).exists()]
    assert stale + gone == []


def test_nothing_is_left_for_later_in_a_comment() -> None:
    """What is missing is said where users look (CHANGELOG, README) or is an issue."""
    found = [s.path for s in read("sidecar", "tests", "benchmarks") if UNFINISHED.search(s.text)]
    assert found == []


def test_every_metric_is_in_the_readme() -> None:
    metrics, readme = PACKAGE / "telemetry" / "metrics.py", ROOT / "README.md"
    if not metrics.exists() or not readme.exists():
        pytest.skip("needs sidecar/telemetry/metrics.py and README.md")
    constants = (
        n.value for n in ast.walk(ast.parse(metrics.read_text())) if isinstance(n, ast.Constant)
    )
    names = {
        n for n in constants if isinstance(n, str) and re.fullmatch(r"epochgate_[a-z0-9_]+", n)
    }
    listed = set(re.findall(r"epochgate_[a-z0-9_]+", readme.read_text()))
    missing = {n for n in names if not listed & {n, f"{n}_total", f"{n}_info"}}
    assert names, "metrics are declared by their full names, as literals"
    assert sorted(missing) == []


def test_no_compiled_library_stands_beside_its_source() -> None:
    """It would be imported in the place of the source, and tested; `make clean` takes it away."""
    assert list(PACKAGE.rglob("*.so")) == []
