"""What is read of answers, states, metrics and records."""

import json
from pathlib import Path

from sidecar.cli.conformance.view import Answer, View, codes, complaints, gauge, verdict

STATE = {
    "validations": [
        {"number": 1, "holds": True, "reasons": []},
        {"number": 6, "holds": False, "reasons": ["EG601"]},
    ]
}


def test_a_denial_names_its_reason_and_what_is_behind_it() -> None:
    answer = Answer(503, {"x-epochgate-reason": "EG102"}, b'{"causes": ["EG801"]}')
    assert answer.codes == ["EG102", "EG801"]
    assert str(answer) == "503 EG102 EG801"


def test_a_body_that_is_no_object_says_nothing() -> None:
    assert Answer(200, {}, b"[1]").told == Answer(200, {}, b"<html>").told == {}


def test_a_validation_that_is_not_shown_does_not_hold() -> None:
    assert verdict(STATE, 1) == (True, [])
    assert verdict(STATE, 6) == (False, ["EG601"])
    assert verdict(STATE, 8) == (False, ["not shown"])
    assert complaints(STATE) == {6: ["EG601"]}


def test_a_gauge_is_found_by_its_number() -> None:
    samples = {'epochgate_validation{number="1",name="a"}': 1.0, "epochgate_validation": 0.0}
    assert gauge(samples, 1) == 1
    assert gauge(samples, 2) is None


def test_records_are_read_in_order_and_a_half_written_one_is_left_out(tmp_path: Path) -> None:
    lines = [
        {"type": "lifecycle", "detail": {"evidence": {"reasons": ["EG801"]}}},
        {"type": "sync"},
    ]
    whole = "\n".join(json.dumps(line) for line in lines)
    (tmp_path / "0.jsonl").write_text(f'{whole}\n{{"type": "dec')
    view = View("", "", tmp_path)
    assert [record["type"] for record in view.records()] == ["lifecycle", "sync"]
    assert codes(view.records("lifecycle")) == {"EG801"}
