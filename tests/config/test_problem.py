"""A problem says where it is."""

from sidecar.config.problem import ConfigError, Problem


def test_a_problem_prints_origin_path_and_message() -> None:
    assert str(Problem("spec.x", "is wrong", "f:1:2")) == "f:1:2: spec.x: is wrong"
    assert str(Problem("spec.x", "is wrong")) == "spec.x: is wrong"
    assert str(Problem("", "is empty", "f")) == "f: is empty"


def test_the_error_carries_all_of_them() -> None:
    error = ConfigError([Problem("a", "1"), Problem("b", "2")])
    assert [problem.path for problem in error.problems] == ["a", "b"]
    assert str(error) == "a: 1; b: 2"
