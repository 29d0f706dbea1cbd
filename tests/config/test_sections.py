"""The values themselves."""

from sidecar.config.sections import Address, PeerAddress


def test_an_address_prints_as_it_is_written() -> None:
    assert str(Address("127.0.0.1", 80)) == "127.0.0.1:80"
    assert str(Address("::1", 80)) == "[::1]:80"


def test_a_password_is_not_part_of_the_repr() -> None:
    assert "hunter2" not in repr(PeerAddress("r1", "h", 1, password="hunter2"))
