"""`epochgate explain`: what a reason code means, and what to look at first."""

import click

from sidecar.cli.advice import ADVICE
from sidecar.cli.text import USAGE, CliError, print_json, table
from sidecar.core.reason import BY_CODE, Reason


@click.command(epilog="Example: epochgate explain EG102")
@click.argument("code", required=False)
@click.option("-o", "output", type=click.Choice(["table", "json"]), default="table")
def explain(code: str | None, output: str) -> None:
    """Say what a reason CODE means and what to check first; without one, list them all.

    CODE is a code (EG102), or its slug (lease-expired).
    """
    if code is not None:
        reason = _find(code)
        print_json(_as_json(reason)) if output == "json" else _print(reason)
    elif output == "json":
        print_json([_as_json(reason) for reason in Reason])
    else:
        table(
            ["code", "slug", "status", "retryable", "title"],
            [(r.code, r.slug, r.status, _yes_no(r), r.title) for r in Reason],
        )


def _find(code: str) -> Reason:
    reason = BY_CODE.get(code.upper())
    reason = reason or next((item for item in Reason if item.slug == code.lower()), None)
    if reason is None:
        raise CliError(f"no such reason: {code[:32]!r}; `epochgate explain` lists them", USAGE)
    return reason


def _print(reason: Reason) -> None:
    advice = ADVICE[reason.code]
    click.echo(f"{reason.code} {reason.slug}: {reason.title}\n")
    click.echo(f"Means      {advice.means}")
    click.echo(f"Check      {advice.check}")
    click.echo(f"Status     {reason.status}")
    click.echo(f"Retryable  {_yes_no(reason)}")


def _as_json(reason: Reason) -> dict[str, object]:
    return {
        "code": reason.code,
        "slug": reason.slug,
        "title": reason.title,
        "status": reason.status,
        "retryable": reason.retryable,
        "validation": reason.validation,
        "means": ADVICE[reason.code].means,
        "check": ADVICE[reason.code].check,
    }


def _yes_no(reason: Reason) -> str:
    return "yes" if reason.retryable else "no"
