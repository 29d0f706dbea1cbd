"""Text in, code out: the library checks it, the translation makes code, core checks that again.

So what leaves here has passed the check that every sidecar makes.
"""

from collections.abc import Mapping

from sidecar.cli import text as terminal
from sidecar.cli.cel import tree
from sidecar.cli.cel.complaint import explained
from sidecar.cli.cel.error import CelError
from sidecar.cli.cel.hint import limit
from sidecar.cli.cel.translation import RefusedError, Translation
from sidecar.cli.cel.tree import Checked
from sidecar.cli.cel.wire import WireError
from sidecar.core.expression.checking import CodeError, judge
from sidecar.core.expression.kind import Type
from sidecar.core.policy_body import ExpressionBody

MISSING = (
    "expressions of policies are compiled with cel-expr-python, which is not installed; "
    "pip install 'epochgate[policy]' (only where policies are built, no sidecar needs it)"
)
UNREADABLE = (
    "the CEL library hands over what this version cannot read; install cel-expr-python 0.1.3"
)


def compile_expression(text: str, names: Mapping[str, Type]) -> tuple[ExpressionBody, Type]:
    """The signed form of an expression, and the kind of its value.

    Args:
        text: As written in a policy.
        names: What it can use: `environment.DECLARED`, and `variables.NAME` with their kinds.

    Raises:
        CelError: What is wrong with it, where, and what to do.
        CliError: The extra `policy` is not installed.
    """
    try:
        from sidecar.cli.cel import library  # noqa: PLC0415  # needed by nobody who only runs
    except ModuleNotFoundError:
        raise terminal.CliError(MISSING, terminal.UNAVAILABLE) from None
    try:
        checked = tree.read(library.compiled(text, names))
    except library.ComplaintError as complaint:
        raise explained(str(complaint), text, names) from None
    except WireError as error:
        raise terminal.CliError(f"{UNREADABLE} ({error})", terminal.UNAVAILABLE) from None
    made = Translation(checked, names, library.nanoseconds)
    try:
        made.node(checked.root)
        kind = judge(made.code, names).type
    except RefusedError as error:
        raise CelError(*_place(text, checked, error.id), error.text, error.hint) from None
    except CodeError as error:
        where = _place(text, checked, made.ids[error.index])
        raise CelError(*where, error.text, limit(error.text)) from None
    return ExpressionBody(code=made.code, text=text), kind


def _place(text: str, checked: Checked, key: int) -> tuple[int, int]:
    """Line and column of a node."""
    before = text[: checked.places.get(key, 0)]
    return before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
