"""Who is connected, and who gives way."""

from sidecar.proxy.connections import STEP_MAX, TOLD_MAX, Connections, Place


class Guest:
    def __init__(self, waiting_since: int = 0) -> None:
        self.waiting_since = waiting_since
        self.gone = 0

    def give_way(self) -> None:
        self.gone += 1


def test_there_is_room_up_to_the_limit() -> None:
    connections: Connections[Guest] = Connections(2)
    assert [connections.add(Guest(5)) for _ in range(2)] == [Place.SERVED] * 2
    assert len(connections) == len(list(connections)) == 2


def test_whoever_has_waited_longest_gives_way_once() -> None:
    connections: Connections[Guest] = Connections(3)
    busy, young, old = Guest(0), Guest(9), Guest(2)
    for guest in (busy, young, old):
        connections.add(guest)
    assert connections.add(Guest(0)) is Place.SERVED
    assert (busy.gone, young.gone, old.gone) == (0, 0, 1)
    connections.discard(old)  # as its end is reported later
    assert connections.add(Guest(0)) is Place.SERVED
    assert (busy.gone, young.gone, old.gone) == (0, 1, 1)
    assert len(connections) == 3


def test_many_give_way_together_so_that_a_flood_costs_few_walks() -> None:
    connections: Connections[Guest] = Connections(1000)
    guests = [Guest(number) for number in range(1, 1001)]
    for guest in guests:
        connections.add(guest)
    connections.add(Guest(0))
    assert [guest.gone for guest in guests] == [1] * STEP_MAX + [0] * (1000 - STEP_MAX)


def test_where_nobody_can_give_way_a_few_are_told_and_the_rest_is_turned_away() -> None:
    connections: Connections[Guest] = Connections(1)
    connections.add(Guest(0))
    told = [Guest(0) for _ in range(TOLD_MAX)]
    assert {connections.add(guest) for guest in told} == {Place.TOLD}
    away = Guest(0)
    assert connections.add(away) is Place.TURNED_AWAY
    connections.discard(away)
    connections.discard(told[0])
    assert connections.add(Guest(0)) is Place.TOLD


def test_those_who_are_told_take_no_room_from_others() -> None:
    connections: Connections[Guest] = Connections(1)
    served = Guest(0)
    connections.add(served)
    assert connections.add(Guest(0)) is Place.TOLD
    connections.discard(served)
    assert connections.add(Guest(0)) is Place.SERVED
