"""The tables of README.md that repeat what the code says, made from the code.

`python -m tests.readme` writes them between their markers; `test_readme.py` fails when they differ.
"""

import re
from pathlib import Path

from sidecar import clock
from sidecar.cli.advice import ADVICE
from sidecar.config import table
from sidecar.core.reason import Reason
from sidecar.telemetry.metrics import Metrics

README = Path(__file__).parents[1] / "README.md"


def reasons() -> str:
    """Every reason: code, title, status, whether a client should retry, what it means."""
    rows = ["| code | title | status | retry | what it means |", "|---|---|---|---|---|"]
    rows += [
        f"| `{reason.code}` | {reason.title} | {reason.status} | "
        f"{'yes' if reason.retryable else 'no'} | {ADVICE[reason.code].means} |"
        for reason in Reason
    ]
    return "\n".join(rows)


def limits() -> str:
    """Every limit and timeout of one client: key, default, reason code, what is bounded."""
    rows = ["| key | default | code | what it bounds |", "|---|---|---|---|"]
    rows += [
        f"| `{field.path}` | {field.show(field.default)} | {_codes(field.about)} | {field.about} |"
        for field in table.SIDECAR_FIELDS
        if field.path.startswith(("limits.", "timeouts."))
    ]
    return "\n".join(rows)


def _codes(about: str) -> str:
    """The reasons that a limit names; none: nobody is answered, or there is nothing to say."""
    return ", ".join(f"`{code}`" for code in re.findall(r"EG\d{3}", about)) or "-"


def metrics() -> str:
    """Every metric of a sidecar."""
    rows = ["| metric | type | what it is |", "|---|---|---|"]
    for family in Metrics(clock.now).collect():
        suffix = "_total" if family.type == "counter" else ""
        rows.append(f"| `{family.name}{suffix}` | {family.type} | {family.documentation} |")
    return "\n".join(rows)


TABLES = {"reasons": reasons, "limits": limits, "metrics": metrics}


def filled(text: str) -> str:
    """The text with every table between its markers made anew."""
    for name, make in TABLES.items():
        begin, end = f"<!-- {name}: made by python -m tests.readme -->", f"<!-- /{name} -->"
        pattern = re.compile(re.escape(begin) + ".*?" + re.escape(end), re.DOTALL)
        assert pattern.search(text), f"README.md has no markers for {name}"
        text = pattern.sub(lambda _, b=begin, e=end, m=make: f"{b}\n{m()}\n{e}", text)  # type: ignore[misc]
    return text


if __name__ == "__main__":
    README.write_text(filled(README.read_text()))
