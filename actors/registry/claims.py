"""Claims: what ties one process to one session, and the requests that it sent in the session's name.

Theory of operation
-------------------
A claim is made by requests, by hooks, and by what a process was seen to have (an open rollout or lock, an argument, a file
about itself). Its ``rank`` is that of the best statement that says so; ``spoken`` tells whether the process itself spoke in
the session's name through the gateway, by a request or a hook. Times are the publishers' (``Envelope.time``), not those of
recording: so it does not matter in which order facts of different publishers arrive.

A claim lasts from ``began`` to the exit of its process, or until the process was seen to have the session no more
(``lost``) and did not use it after that (``last``).

Pure. Must not know what is concluded from claims (``contests``, ``identity``).
"""

from __future__ import annotations

from actors.registry.ledger import Cell
from actors.registry.statements import At
from schemas.evidence import Rank
from schemas.identity import LaunchId, ProcessKey, RequestId, SessionId


class Proof:
    """The request that verified a claim."""

    __slots__ = ("at", "rank", "request")

    def __init__(self, at: At, request: RequestId, rank: int) -> None:
        self.at = at
        self.request = request
        self.rank = rank


class Claim:
    """What ties one process (None: an unknown one) to one session, and what it sent in its name."""

    __slots__ = (
        "began",
        "best",
        "busy",
        "cached_input",
        "cancellations",
        "cell",
        "conflicting",
        "cwd",
        "facts",
        "failures",
        "in_flight",
        "input",
        "last",
        "last_position",
        "launch",
        "lost",
        "lost_reason",
        "model",
        "outcome",
        "output",
        "path",
        "process",
        "proof",
        "provider",
        "quiet",
        "rank",
        "reasoning",
        "rejected",
        "requests",
        "seated",
        "served_model",
        "session",
        "spoken",
        "started",
        "total",
        "used",
    )

    def __init__(self, session: SessionId, process: ProcessKey | None) -> None:
        self.session = session
        self.process = process
        self.launch: LaunchId | None = None
        self.rank = Rank.TRANSCRIPT_DECLARED
        self.best = 9  # the best rank of any statement that was believed of its requests
        self.spoken = False
        self.seated = False  # a TUI whose daemon says that it opened this conversation
        self.began = self.last = self.lost = ""
        self.lost_reason = ""
        self.path: str | None = None  # the rollout that the kernel says the process holds open
        self.rejected = ""  # why it is set aside; empty while it is not
        self.conflicting = False  # whether that is a contradiction, or merely no proof
        self.proof: Proof | None = None
        self.facts: tuple[object, ...] = ()
        self.requests = self.failures = self.cancellations = self.in_flight = 0
        self.started = ""  # when the last request of the main thread began
        self.busy = ""  # since when there have been requests in flight
        self.quiet = ""  # when the last one ended
        self.outcome = ""  # how it ended, when badly
        self.used = False
        self.cell: Cell | None = None  # of the ledger, where its last request was counted
        self.input = self.cached_input = self.output = self.reasoning = self.total = 0
        self.last_position = 0
        self.provider: str | None = None
        self.model: str | None = None
        self.served_model: str | None = None
        self.cwd: str | None = None

    @property
    def hard(self) -> bool:
        """Tell whether it is proven: the kernel says so, or the process itself spoke in the session's name."""
        return self.spoken or self.rank <= Rank.KERNEL

    @property
    def over(self) -> bool:
        """Tell whether its process was seen to have the session no more, and did not use it since."""
        return self.lost > self.last

    def hear(self, time: str) -> None:
        """Remember that the claim was made, or made again."""
        if not self.began or time < self.began:
            self.began = time
        self.last = max(self.last, time)

    def add(self, other: Claim) -> None:
        """Take another claim's tallies in."""
        for name in ("requests", "failures", "cancellations", "input", "cached_input", "output", "reasoning", "total"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        self.used = self.used or other.used
        self.best = min(self.best, other.best)
        if other.proof is not None and (self.proof is None or other.proof.at.position < self.proof.at.position):
            self.proof = other.proof
        if other.last_position > self.last_position:
            self.last_position = other.last_position
            self.provider, self.model, self.served_model = other.provider, other.model, other.served_model
            self.cwd, self.quiet, self.outcome = other.cwd, other.quiet, other.outcome
