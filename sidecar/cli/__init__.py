"""The command line `epochgate`: one file per noun, imported when it is used.

* A command is a few lines over core, config, audit or roles. No rule of the protocol lives here.
* Every failure ends as one line on stderr and a documented exit code: `main` holds the only broad
  `except Exception` of the command line.
* A running sidecar never imports this package.

Exit codes: 0 ok, 1 failure, 2 policy tests failed, 64 usage, 65 bad input data, 69 endpoint
unavailable, 70 internal, 77 permission, 78 configuration, 80 verification failed, 81 unverifiable,
83 differences found, 124 timed out.
"""

import importlib
import os
import sys
import traceback
from collections.abc import Sequence

import click

from sidecar import __version__
from sidecar.cli import text
from sidecar.config.problem import ConfigError
from sidecar.core.reason import ProtocolError
from sidecar.signer import KeyFileError, KeyFileRefusedError

INTERRUPTED = 130  # 128 + SIGINT, as shells report it

# Name -> where it lives, and its line in the list of commands. The line stands here so that the
# list can be printed without importing a single command.
COMMANDS: dict[str, tuple[str, str]] = {
    "demo": ("sidecar.cli.demo:demo", "See the gate open, contain, recover, halt and resume."),
    "conformance": (
        "sidecar.cli.conformance:conformance",
        "Check every item of EG-PROTOCOL-001 from outside.",
    ),
    "run": ("sidecar.cli.run:run", "Run one of the processes."),
    "status": ("sidecar.cli.status:status", "Show what a running sidecar says about itself."),
    "explain": ("sidecar.cli.explain:explain", "Say what a reason code means and what to do."),
    "trust": ("sidecar.cli.trust:trust", "Make and rotate the trust document and its keys."),
    "epoch": ("sidecar.cli.epoch:epoch", "Issue, show and verify sync epochs."),
    "wait": ("sidecar.cli.wait:wait", "Wait until the fleet serves under an epoch."),
    "halt": ("sidecar.cli.halt:halt", "Stop: sign and publish a halt."),
    "halts": ("sidecar.cli.halt:halts", "List the halts that the peers hold."),
    "halt-check": ("sidecar.cli.drill:halt_check", "Show that a halt would reach the fleet now."),
    "clear": ("sidecar.cli.halt:clear", "End a halt or a quarantine, signed by a threshold."),
    "evidence": ("sidecar.cli.evidence:evidence", "Show what a quarantined sidecar has proof of."),
    "policy": ("sidecar.cli.policy:policy", "Check, test and publish policies and route tables."),
    "audit": ("sidecar.cli.audit:audit", "Read, verify and export audit records."),
    "governance": (
        "sidecar.cli.governance:governance",
        "Show and verify what an authority wrote down.",
    ),
    "proof": ("sidecar.cli.proof:proof", "Prove one audit record to anybody, and check a proof."),
    "intercept": (
        "sidecar.cli.intercept:intercept",
        "Redirect the service's ports to the gate, and refuse what goes around it.",
    ),
    "measure": ("sidecar.cli.measure:measure", "Print the digests that an epoch can demand."),
    "config": ("sidecar.cli.config:config", "Check and show configuration files."),
}


class _Lazy(click.Group):
    """A group that knows its commands by name and imports one when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002, click's signature
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, _, attribute = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(importlib.import_module(module), attribute)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:  # noqa: ARG002
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(
    cls=_Lazy,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="Start here: epochgate demo",
)
@click.version_option(__version__, prog_name="epochgate")
@click.pass_context
def epochgate(context: click.Context) -> None:
    """Forward requests only while the governance authority still vouches for this pod."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and leave the process with its exit code.

    Args:
        arguments: Without the program's name; None: those of the process.
    """
    sys.exit(_status(sys.argv[1:] if arguments is None else arguments))


def _status(arguments: Sequence[str]) -> int:
    try:
        status = epochgate.main(list(arguments), prog_name="epochgate", standalone_mode=False)
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001, the one place
        if isinstance(error, BrokenPipeError):
            return _reader_left()
        if os.environ.get("EPOCHGATE_TRACEBACK"):
            traceback.print_exception(error)
        for line in _lines(error):
            click.echo(f"error: {line}", err=True)
        return _exit_code(error)
    return status if isinstance(status, int) else text.OK


def _exit_code(error: BaseException) -> int:
    if isinstance(error, click.UsageError):
        return text.USAGE
    if isinstance(error, click.ClickException):
        return error.exit_code
    return next((code for kind, code in _EXIT_CODES if isinstance(error, kind)), text.INTERNAL)


_EXIT_CODES: tuple[tuple[type[BaseException], int], ...] = (
    (ConfigError, text.CONFIGURATION),
    (ProtocolError, text.BAD_DATA),
    (KeyFileRefusedError, text.PERMISSION),
    (KeyFileError, text.BAD_DATA),
    (PermissionError, text.PERMISSION),
    (OSError, text.FAILURE),
    (click.Abort, INTERRUPTED),
    (KeyboardInterrupt, INTERRUPTED),
)


def _lines(error: BaseException) -> list[str]:
    match error:
        case click.UsageError():
            command = error.ctx.command_path if error.ctx else "epochgate"
            message = error.format_message().rstrip(".")
            return [f"{message}; see: {command} --help"]
        case click.ClickException():
            return [error.format_message()]
        case ConfigError():
            return [str(problem) for problem in error.problems]
        case ProtocolError():
            return [f"{error}; see: epochgate explain {error.reason.code}"]
        case KeyFileError():
            return [str(error)]
        case OSError():
            where = f"{error.filename}: " if error.filename else ""
            return [f"{where}{error.strerror or error}"]
        case click.Abort() | KeyboardInterrupt():
            return ["interrupted"]
        case _:
            what = " ".join(f"{type(error).__name__}: {error}".split())
            return [f"internal: {what}; EPOCHGATE_TRACEBACK=1 shows where"]


def _reader_left() -> int:
    # Whoever read our output is gone (`| head`); nothing may be written at exit either.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return text.FAILURE
