"""All rows of requests, in order."""

from tests.http import catalogue_answers as answers
from tests.http import catalogue_chunks as chunks
from tests.http import catalogue_framing as framing
from tests.http import catalogue_hops as hops
from tests.http import catalogue_lines as lines
from tests.http import catalogue_target as target
from tests.http.rows import Row

ROWS: tuple[Row, ...] = (
    *framing.ROWS,
    *chunks.ROWS,
    *lines.ROWS,
    *target.ROWS,
    *hops.ROWS,
    *answers.ASKED,
)
