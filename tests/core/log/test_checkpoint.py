"""Checkpoint text has one form; everything else is refused."""

import base64
import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.log.checkpoint import SIZE_LIMIT, Checkpoint, origin, parse
from sidecar.core.reason import ProtocolError, Reason

ROOT = base64.b64encode(bytes(32)).decode()

NAMES = st.text(st.characters(blacklist_characters="\n", blacklist_categories=["Cs"]), min_size=1)


@given(NAMES, st.integers(0, SIZE_LIMIT - 1), st.binary(min_size=32, max_size=32))
def test_a_checkpoint_round_trips(name: str, size: int, root: bytes) -> None:
    made = Checkpoint(name, size, root)
    assert parse(made.text()) == made


@pytest.mark.parametrize(
    "text",
    [
        "",
        f"log\n1\n{ROOT}",
        f"log\n1\n{ROOT}\nextension\n",
        f"\n1\n{ROOT}\n",
        f"log\n01\n{ROOT}\n",
        f"log\n+1\n{ROOT}\n",
        f"log\n-1\n{ROOT}\n",
        f"log\n1_0\n{ROOT}\n",
        f"log\n\n{ROOT}\n",
        f"log\n\u0661\n{ROOT}\n",
        f"log\n{SIZE_LIMIT}\n{ROOT}\n",
        f"log\n{'9' * 5000}\n{ROOT}\n",
        f"log\n1\n{ROOT[:-1]}\n",
        f"log\n1\n{ROOT[:-4]}\n",
        f"log\n1\n{ROOT.replace('=', '')}\n",
        f"log\n1\n{ROOT[:-2]}B=\n",
        f"log\n1\n {ROOT}\n",
        "log\n1\n\u00e9\n",
    ],
)
def test_what_is_not_in_the_one_form_is_refused(text: str) -> None:
    with pytest.raises(ProtocolError) as caught:
        parse(text)
    assert caught.value.reason is Reason.NONCANONICAL


@given(st.text(max_size=80) | st.lists(st.text(max_size=50), min_size=4, max_size=4).map("\n".join))
def test_any_text_gives_its_own_checkpoint_or_the_one_error(text: str) -> None:
    with contextlib.suppress(ProtocolError):
        assert parse(text).text() == text


def test_the_origin_names_domain_and_instance() -> None:
    assert origin("prod", "pod-1") == "epochgate/prod/pod-1"
