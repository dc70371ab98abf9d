"""Every bound of the gateway beside those of a connection (``runtime.http.bounds``): sizes in bytes, times in seconds.

Must not know who enforces them.
"""

from __future__ import annotations

from typing import Final

MIB: Final = 1024 * 1024

# What a caller may send.
BODY: Final = 64 * MIB
BODIES_HELD: Final = 256 * MIB  # all callers together; beyond it a request is refused with 503, not queued

# How long a caller may take.
BODY_DEADLINE: Final = 120.0
BODY_GRACE: Final = 10.0  # after it, a body must arrive at BODY_RATE on average
BODY_RATE: Final = 1024

# How many callers beside those that the configuration allows.
TURNED_AWAY: Final = 64  # connections that read that they are too many; those beyond them are closed over what they sent

# What is kept of an answer before it is passed on: a refusal, to be read; a beginning, while another provider could be asked.
REFUSAL_KEPT: Final = 64 * 1024
REFUSAL_SECONDS: Final = 5.0
BEGINNING_KEPT: Final = 64 * 1024
BEGINNING_SECONDS: Final = 15.0
STALE: Final = 1.0  # a kept connection that ends so soon after a request, without a byte, was closed before it came

# What is read of bodies, beside passing them on.
PEEK_INLINE: Final = 1 * MIB  # a larger request body is peeked at in a worker thread
REWRITE_INLINE: Final = 128 * 1024  # a larger one is rewritten in a worker thread
PEEK_INFLATED: Final = 8 * MIB  # a compressed request body is inflated this far
EVENT: Final = 2 * MIB  # one event of a stream, kept until its end is seen
JSON_ANSWER: Final = 4 * MIB

# Lists of models, as providers tell them.
MODELS_DEADLINE: Final = 3.0
MODELS_KEPT: Final = 60.0
MODELS_FAILED_KEPT: Final = 5.0

# What an agent's hook may report: content stands in it beside the few fields that are read.
HOOK_BODY: Final = 4 * MIB
HOOK_DEADLINE: Final = 2.0
HOOKS: Final = 16  # read at once

# Identity. Usually answered within a millisecond; when twenty agents start at once on two processors, everybody waits for
# a processor, and 0.2 s left six of them without a name. A late answer is better than one for nobody.
IDENTITY_WAIT: Final = 1.0
KNOWN_CANDIDATES: Final = 16
SEARCHES: Final = 2  # full scans at once
LAUNCH_POLL: Final = 1.0
ENDED_LAUNCHES: Final = 1024
PROCESSES: Final = 384  # watched at once; each takes a descriptor, beside two for each connection
FILES: Final = 128  # all other descriptors

SHUTDOWN_GRACE: Final = 2.0
