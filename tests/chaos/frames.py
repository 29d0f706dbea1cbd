"""Where one RESP value ends and the next begins, for a proxy that must know what it passes on.

Nothing is judged here: bytes that are no RESP make the connection opaque, and it is passed on as it
comes. Source: Redis serialization protocol, version 2.
"""


class Frames:
    """Cuts one direction of a connection into whole values.

    Attributes:
        opaque: Whether something came that is no RESP; from then on pieces are what was received.
    """

    def __init__(self) -> None:
        self._kept = b""
        self.opaque = False

    def feed(self, data: bytes) -> list[bytes]:
        """The values that are complete now, each as its bytes."""
        if self.opaque:
            return [data]
        self._kept += data
        found: list[bytes] = []
        start = 0
        try:
            while (end := frame_end(self._kept, start)) >= 0:
                found.append(self._kept[start:end])
                start = end
        except ValueError:
            self.opaque = True
            rest, self._kept = self._kept[start:], b""
            return [*found, rest]
        self._kept = self._kept[start:]
        return found


def frame_end(data: bytes, start: int) -> int:
    """Offset behind the value that begins at `start`; -1 while some of it is missing.

    Raises:
        ValueError: no value begins there.
    """
    line_end = data.find(b"\r\n", start)
    if line_end < 0:
        return -1
    mark, after = data[start : start + 1], line_end + 2
    if mark in (b"+", b"-", b":"):
        return after
    count = int(data[start + 1 : line_end])
    if mark == b"$":
        end = after if count < 0 else after + count + 2
        return end if end <= len(data) else -1
    if mark != b"*":
        raise ValueError(f"no value begins with {mark!r}")
    for _ in range(count):
        after = frame_end(data, after)
        if after < 0:
            return -1
    return after


def arguments(frame: bytes) -> list[bytes]:
    """Name and arguments of a command; nothing when the frame is none."""
    if frame[:1] != b"*":
        return []
    at, found = frame.index(b"\r\n") + 2, []
    while at < len(frame):
        end = frame_end(frame, at)
        if frame[at : at + 1] != b"$" or end < 0:
            return []
        found.append(frame[frame.index(b"\r\n", at) + 2 : end - 2])
        at = end
    return found
