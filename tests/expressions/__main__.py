"""`make expressions`: the comparison with CEL and the hostile code, on many more examples."""

import sys

from hypothesis import settings

from tests.expressions.test_agreement import test_agrees_on_any_expression
from tests.expressions.test_hostile_code import test_is_refused_or_gives_a_value_of_its_kind

TESTS = (test_agrees_on_any_expression, test_is_refused_or_gives_a_value_of_its_kind)


def main() -> None:
    """The number of examples for each: the first argument."""
    examples = int(sys.argv[1]) if len(sys.argv) > 1 else 20_000
    for test in TESTS:
        settings(max_examples=examples, deadline=None)(test)()
        sys.stdout.write(f"{test.__name__}: {examples} examples\n")


if __name__ == "__main__":
    main()
