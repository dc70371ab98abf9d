"""What one connection may send and how long it may take, the same for every server: sizes in bytes, times in seconds.

Must not know who enforces them. How large a body may be is each server's own.
"""

from __future__ import annotations

from typing import Final

REQUEST_LINE: Final = 8 * 1024
HEADER_FIELD: Final = 16 * 1024
HEADER_BLOCK: Final = 32 * 1024
HEADERS: Final = 100

HEAD_DEADLINE: Final = 10.0
KEEP_ALIVE: Final = 75.0
LINGER: Final = 2.0  # reading the rest of a refused body, so that the refusal is seen

PIPELINED: Final = 16  # requests behind each other in one read; those beyond are not taken, and the connection ends
AHEAD: Final = 64 * 1024  # what a caller may send ahead of its turn; then it is not read until it is its turn
SLACK: Final = 1024 * 1024  # what frames a body may exceed its due by
SWEEP: Final = 0.25  # deadlines are checked this often, instead of a timer for each chunk
