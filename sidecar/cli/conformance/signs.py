"""What has to be seen of a fault, everywhere at once: answer, state, gauge and record agree.

Each is one look, for `settle`.
"""

from sidecar.cli.conformance.check import expect, settle
from sidecar.cli.conformance.view import View, complaints, gauge, verdict

OK = 200
DENIED = 503


async def contained(view: View, number: int, code: str, answer: str = "", shown: str = "") -> str:
    """A validation does not hold for this reason, and requests are denied for it.

    Args:
        view: The sidecar.
        number: Of the validation.
        code: The reason.
        answer: Code that the denial has to carry; empty: `code` is its reason or a cause of it.
        shown: What the validation has to say where that is another reason; empty: `code`.

    Returns:
        What was seen.

    Raises:
        BrokenError: not so, or not yet.
    """
    told = await view.ask()
    expect(told.status == DENIED, f"a request got {told}")
    expect(code in told.codes, f"the denial names {told}, not {code}")
    expect(not answer or told.code == answer, f"denied {told.code}, not {answer}")
    holds, reasons = verdict(await view.state(), number)
    expect(not holds and (shown or code) in reasons, f"validation {number}: {reasons or 'holds'}")
    value = gauge(await view.gauges(), number)
    expect(value == 0, f"epochgate_validation of {number} is {value}")
    because = "" if told.code == code else f" because of {code}"
    return f"denied {told.code}{because}; validation {number} and its gauge: no"


async def open_again(view: View, number: int = 0) -> None:
    """Requests are permitted, and the validation holds; 0: all of them do.

    Raises:
        BrokenError: not so, or not yet.
    """
    told = await view.ask()
    expect(told.status == OK, f"a request got {told}")
    state, samples = await view.state(), await view.gauges()
    found = complaints(state)
    expect(number not in found if number else not found, f"validations: {found}")
    for each in (number,) if number else range(1, 9):
        shown = gauge(samples, each)
        expect(shown == 1, f"epochgate_validation of {each} is {shown}")


async def answered(view: View, code: str) -> str:
    """Requests are denied with this very code.

    Raises:
        BrokenError: not so, or not yet.
    """
    told = await view.ask()
    expect(told.status == DENIED and told.code == code, f"a request got {told}")
    return f"denied {code}"


async def step_failed(view: View, step: int, code: str, after: int) -> str:
    """The audit log says that a step of the lifecycle failed for this reason.

    Args:
        view: The sidecar.
        step: 1 to 10.
        code: The reason.
        after: Number of lifecycle records to pass over.

    Raises:
        BrokenError: not so, or not yet.
    """
    found = [line["detail"] for line in view.records("lifecycle")[after:]]
    failed = [(one["step"], one["evidence"].get("reasons", [])) for one in found if not one["ok"]]
    right = any(number == step and code in reasons for number, reasons in failed)
    expect(right, f"failed steps on record: {failed}")
    return f"step {step} failed on record"


async def until_contained(
    view: View, number: int, code: str, answer: str = "", shown: str = ""
) -> str:
    """Wait for `contained`."""
    return await settle(lambda: contained(view, number, code, answer, shown), view.limit_s)


async def until_open(view: View, number: int = 0) -> None:
    """Wait for `open_again`."""
    await settle(lambda: open_again(view, number), view.limit_s)


async def until_answered(view: View, code: str) -> str:
    """Wait for `answered`."""
    return await settle(lambda: answered(view, code), view.limit_s)


async def until_failed(view: View, step: int, code: str, after: int) -> str:
    """Wait for `step_failed`."""
    return await settle(lambda: step_failed(view, step, code, after), view.limit_s)
