"""What must hold of whom a request counts for, whoever sends it, whatever it says and whatever launch it comes by."""

from __future__ import annotations

from typing import get_args

from hypothesis import given
from hypothesis import strategies as st

from actors.gateway.attribution import Relation, Standing, attribute, caller_of
from actors.gateway.claims import NAMING, NO_CLAIMS, Claims
from schemas.evidence import Rank
from schemas.identity import ConversationKey, LaunchId, ProcessKey, SessionId, is_provisional, process_session, session_of
from schemas.launch import LaunchRecord

PROCESS = ProcessKey("host", "boot", 41, 1000, 7)
AGENTS = st.sampled_from(["gemini", "qwen", "codex", "claude", "other"])
SESSIONS = st.sampled_from(["gemini-1", "qwen-1", "codex-1", "gemini-", "gemini-/", "launch-2", "proc-3", "-", ""])
STANDINGS = st.builds(
    lambda agent, session, relation, worth: Standing(
        worth,
        LaunchRecord(
            launch=LaunchId("launch-1"),
            agent=agent,
            token_sha256="0" * 64,
            process=PROCESS,
            created="2026-11-21T00:00:00Z",
            session=None if session is None else SessionId(session),
        ),
        relation,
    ),
    AGENTS,
    st.none() | SESSIONS,
    st.sampled_from(get_args(Relation)),
    st.sampled_from(["unknown", "ended", "living"]),
)
CLAIMS = st.sampled_from(
    [NO_CLAIMS, *(Claims(agent, ConversationKey(f"{agent}:9"), header="a header") for agent in ("gemini", "codex", "claude"))]
)


@given(AGENTS, STANDINGS, CLAIMS)
def test_a_request_counts_for_what_it_says_or_for_what_we_launched_or_for_its_process(
    agent: str, standing: Standing, claims: Claims
) -> None:
    found = attribute(caller_of(PROCESS, agent, "other"), standing, claims)
    record = standing.record
    assert record is not None
    believed = standing.worth == "living" and standing.relation in ("same", "descendant")
    assert (found.launch is not None) == believed
    told = record.session if believed and claims is NO_CLAIMS else None
    possible = {process_session(PROCESS), SessionId(record.launch), told}
    possible |= {None if claims.conversation is None else session_of(claims.conversation)}
    possible |= {SessionId(f"{record.agent}-9")}  # a program of a name of its own says its conversation in another's words
    assert found.session in possible
    if found.conversation is not None:
        assert found.session == session_of(found.conversation)
        assert any(one.proves == "conversation" and one.value and not one.rejected for one in found.evidence)


@given(AGENTS, STANDINGS)
def test_a_bridge_is_believed_for_its_own_agent_alone_and_only_where_that_never_says_it_itself(
    agent: str, standing: Standing
) -> None:
    found = attribute(caller_of(PROCESS, agent, "other"), standing, NO_CLAIMS)
    record = standing.record
    assert record is not None
    if found.conversation is None:
        assert found.session in {process_session(PROCESS), SessionId(record.launch)}
        return
    assert found.session == record.session
    assert not is_provisional(str(found.session))
    assert agent == record.agent == found.agent == found.conversation.partition(":")[0]
    assert agent not in NAMING
    assert (standing.worth, standing.relation in ("same", "descendant")) == ("living", True)
    (said,) = [one for one in found.evidence if one.proves == "conversation"]
    assert (said.rank, said.value, said.rejected) == (Rank.TOLD_BY_US, found.conversation, "")
