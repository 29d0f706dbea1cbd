"""What the library says, said as a person would."""

from sidecar.cli.cel.complaint import explained


def test_the_first_of_several_complaints_is_the_one_that_is_told() -> None:
    complaint = (
        "INVALID_ARGUMENT: ERROR: <input>:1:1: undeclared reference to 'foo' (in container '')\n"
        " | foo == bar\n | ^\n"
        "ERROR: <input>:1:8: undeclared reference to 'bar' (in container '')\n | foo == bar\n"
    )
    error = explained(complaint, "foo == bar", ["request.path"])
    assert (error.line, error.column, error.text) == (1, 1, "foo is not known")


def test_a_complaint_of_an_unknown_form_is_passed_on() -> None:
    error = explained("INTERNAL: out of order", "true", [])
    assert (error.line, error.column, str(error)) == (1, 1, "INTERNAL: out of order")
    error = explained("ERROR: <input>:1:3: something else\n | x", "1 x", [])
    assert (error.column, str(error)) == (3, "something else")


def test_a_name_begins_where_it_is_written_not_at_its_last_dot() -> None:
    complaint = "ERROR: <input>:2:9: undeclared reference to 'request.foo' (in container '')\n"
    error = explained(complaint, "\n request.foo", [])
    assert (error.line, error.column) == (2, 2)
