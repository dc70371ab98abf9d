"""``tabwire explain``: why a session's row says what it says."""

from __future__ import annotations

from collections.abc import Iterator

from actors.cli import bus
from actors.cli.output import show, show_json
from actors.cli.text import state_words
from schemas.commands import ExplainSession
from schemas.rows import Decision, EvidenceLine, Explanation, SessionRow

_RANKS = {1: "told by us", 2: "kernel", 3: "process", 4: "request", 5: "transcript"}
_LAST = 10


def explain_session(session: str, *, json: bool) -> None:
    """Print the explanation of the one session that a prefix names."""
    explanation = bus.ask(ExplainSession(session=session))
    if json:
        show_json(explanation)
        return
    for line in explanation_lines(explanation):
        show(line)


def explanation_lines(explanation: Explanation) -> Iterator[str]:
    """Write an explanation: the row in two lines, the reasons, the evidence by rank, the last decisions."""
    row, now = explanation.row, explanation.as_of.time
    yield f"{row.session}  {row.agent}  {row.verdict}, {state_words(row, now)}"
    yield f"  terminal {row.terminal or '-'}{f' ({row.terminal_missing})' if row.terminal_missing else ''}"
    yield f"  folder   {row.cwd or '-'}{f' (git {row.git_branch})' if row.git_branch else ''}"
    yield f"  provider {_providers(row)}"
    usage = f", tokens in {row.usage.input} out {row.usage.output}" if row.usage else ""
    yield f"  requests {row.requests}, failed {row.failures}, cancelled {row.cancellations}{usage}"
    yield "because"
    yield from (f"  {reason}" for reason in explanation.because)
    yield "evidence"
    yield from (_evidence(line) for line in explanation.evidence)
    if explanation.decisions:
        yield f"decisions (the last {min(_LAST, len(explanation.decisions))} of {len(explanation.decisions)})"
        for decision in explanation.decisions[-_LAST:]:
            yield from _decision(decision)


def _providers(row: SessionRow) -> str:
    """Say where requests go, what is preferred, what the agent claims, and where its base_url leads."""
    parts = [row.routing_provider or "-"]
    preferred = "/".join(part for part in (row.preferred_provider, row.preferred_model) if part)
    parts += [f"prefers {preferred}"] if preferred else []
    parts += [f"its agent says {row.agent_provider}"] if row.agent_provider else []
    parts += [f"base_url: {row.endpoint.verdict}, by {row.endpoint.source}"] if row.endpoint else []
    return "; ".join(parts)


def _evidence(line: EvidenceLine) -> str:
    said = line.evidence
    verdict = f" [{'CONFLICT' if said.conflict else 'not used'}: {said.rejected}]" if said.rejected else ""
    note = f" ({said.note})" if said.note else ""
    times = f" x{line.repeated}" if line.repeated > 1 else ""
    rank = f"{int(said.rank)} {_RANKS[int(said.rank)]}"
    whose = f", of process {line.process}" if line.process else ""
    what = f"{said.proves} = {said.value}, by {said.kind}{note}{whose}"
    return f"  {rank:<12} {what}, {_told(line)}, position {line.position}{times}{verdict}"


def _told(line: EvidenceLine) -> str:
    """Say who told it and when: ``told by gateway at 2026-11-21 01:50:01``."""
    _, _, source = line.source.strip("/").partition("/")
    return f"told by {source.partition('/')[0] or line.source} at {line.time[:19].replace('T', ' ')}"


def _decision(decision: Decision) -> Iterator[str]:
    yield f"  {decision.position:>7}  {decision.provider}: {decision.reason}; {decision.outcome}"
    yield from (f"           skipped {skipped}" for skipped in decision.skipped)
