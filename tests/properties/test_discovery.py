"""Properties of discovery's account and of its readings, over generated processes, files and histories."""

from __future__ import annotations

from random import Random

from hypothesis import given
from hypothesis import strategies as st

from actors.discovery.account import Exited, Fact, Input, Observed, Recalled, State, step
from actors.discovery.endpoints import find_endpoint
from actors.discovery.holdings import find_holdings
from actors.discovery.terms import Config, Files, Head, HeldFile, Holding, Holdings, Portrait
from actors.probe.agents import AgentFinding
from schemas.codec import decode, encode
from schemas.events import Endpoint, ProcessExited, ProcessKind, ProcessSeen
from schemas.evidence import Evidence, Rank
from schemas.identity import ProcessKey, conversation_key, session_of

KEYS = st.builds(ProcessKey, host=st.just("h"), boot=st.just("b"), pid=st.integers(1, 4), started=st.integers(1, 2))
IDS = st.sampled_from([f"01a1fb0{at}-5b0e-7cf3-a2b2-400eaf1e2b60" for at in range(4)])
ENDPOINTS = st.none() | st.builds(
    Endpoint, verdict=st.sampled_from(["gateway", "other", "unknown"]), source=st.sampled_from(["-c", "config.toml"])
)
SEEN = st.builds(
    ProcessSeen,
    process=KEYS,
    agent=st.sampled_from(["codex", "claude", "other"]),
    kind=st.sampled_from(["tui", "exec"]),
    cwd=st.sampled_from([None, "/a", "/b"]),
    started=st.sampled_from(["2026-11-21T05:00:00.000Z", "2026-11-21T05:00:00.001Z"]),
    parent=st.none() | KEYS,
    endpoint=ENDPOINTS,
)


@st.composite
def held(draw: st.DrawFn) -> Holding:
    own, rank = draw(IDS), draw(st.sampled_from([Rank.KERNEL, Rank.PROCESS_DECLARED]))
    conversation = conversation_key("codex", own)
    kind = "lock file" if rank is Rank.KERNEL else draw(st.sampled_from(["argument", "session file"]))
    said = Evidence(rank=rank, kind=kind, proves="conversation", value=conversation)
    return Holding(conversation=conversation, session=session_of(conversation), thread=own, evidence=(said,))


HOLDINGS = st.none() | st.builds(Holdings, st.lists(held(), max_size=3, unique_by=lambda one: one.session).map(tuple))
PORTRAITS = st.builds(Portrait, SEEN, HOLDINGS)
SURVEYS = st.lists(PORTRAITS, max_size=5, unique_by=lambda one: one.process).map(tuple)
INPUTS = st.builds(Observed, SURVEYS) | st.builds(Exited, KEYS)
HISTORIES = st.lists(INPUTS, max_size=8)


def play(inputs: list[Input], state: State | None = None) -> tuple[State, list[Fact]]:
    state, told = state or State(), list[Fact]()
    for one in inputs:
        state, facts = step(state, one)
        told += facts
    return state, told


@given(HISTORIES, SURVEYS, st.randoms(use_true_random=False))
def test_the_order_within_a_survey_means_nothing(history: list[Input], survey: tuple[Portrait, ...], chance: Random) -> None:
    state, _ = play(history)
    shuffled = list(survey)
    chance.shuffle(shuffled)
    assert step(state, Observed(survey)) == step(state, Observed(tuple(shuffled)))


@given(HISTORIES, INPUTS)
def test_whatever_is_seen_again_is_no_news(history: list[Input], last: Input) -> None:
    state, _ = play([*history, last])
    assert step(state, last)[1] == ()


@given(HISTORIES, INPUTS, st.integers(0, 8))
def test_a_restart_decides_the_same_facts_under_the_same_ids(history: list[Input], last: Input, recorded: int) -> None:
    """Also when it died after only some of the last facts were recorded."""
    state, told = play(history)
    _, facts = step(state, last)
    recalled, _ = play([Recalled(fact.data) for fact in [*told, *facts[:recorded]]])
    again = step(recalled, last)[1]
    assert {fact.id: fact for fact in facts[recorded:]} == {fact.id: fact for fact in again}


@given(HISTORIES)
def test_ids_never_repeat_and_the_account_is_the_fold_of_what_was_told(history: list[Input]) -> None:
    state, told = play(history)
    assert len({fact.id for fact in told}) == len(told)
    assert play([Recalled(fact.data) for fact in told])[0].processes == state.processes
    assert decode(encode(state), State) == state


@given(HISTORIES)
def test_nothing_is_told_of_a_process_after_its_exit(history: list[Input]) -> None:
    gone: set[ProcessKey] = set()
    for fact in play(history)[1]:
        assert fact.data.process not in gone
        if isinstance(fact.data, ProcessExited):
            gone.add(fact.data.process)


# ---------------------------------------------------------------------------------------------------- readings

KINDS: list[ProcessKind] = ["tui", "exec", "app_server", "daemon", "mcp"]


@st.composite
def held_files(draw: st.DrawFn) -> HeldFile:
    thread = draw(IDS)
    if draw(st.booleans()):
        return HeldFile(f"/h/thread-writer-locks/{thread}.lock", draw(st.sampled_from([True, False, None])), written=True)
    head = draw(st.none() | st.builds(Head, thread=IDS, session=IDS))
    path = f"/h/sessions/2026/11/21/rollout-2026-11-21T04-05-06-{thread}.jsonl"
    return HeldFile(path, draw(st.sampled_from([False, None])), draw(st.sampled_from([True, False, None])), head)


FILES = st.lists(held_files(), max_size=6, unique_by=lambda one: one.path)


@given(FILES, st.sampled_from(KINDS), st.randoms(use_true_random=False))
def test_the_order_of_files_means_nothing_and_what_is_found_is_held(
    files: list[HeldFile], kind: ProcessKind, chance: Random
) -> None:
    agent, process = AgentFinding("codex", kind), ProcessKey("h", "b", 1, 1)
    found = find_holdings(agent, process, (), Files(tuple(files)))
    shuffled = list(files)
    chance.shuffle(shuffled)
    assert {one.session: one for one in find_holdings(agent, process, (), Files(tuple(shuffled))).found} == {
        one.session: one for one in found.found
    }
    for one in found.found:
        assert one.thread is not None
        own = [file for file in files if one.thread in file.path]
        assert own
        assert all(file.head is None or file.written is False or file.head.session == one.thread for file in own)
        assert all(line.rank == Rank.KERNEL for line in one.evidence)


@given(
    st.sampled_from(["codex", "claude", "gemini", "qwen", "auggie", "opencode"]),
    st.lists(
        st.sampled_from(
            ["-c", "--settings", "resume", "-p", "--", "model_provider=x", "openai_base_url=http://u:canary@h/canary"]
        )
    ),
    st.lists(st.text(max_size=40) | st.just('openai_base_url = "http://u:canary@h:1/canary"'), max_size=3),
)
def test_no_text_breaks_an_endpoint_and_nothing_but_its_origin_leaves_an_address(
    agent: str, arguments: list[str], texts: list[str]
) -> None:
    configs = [Config(f"/c/{at}/config.toml", text) for at, text in enumerate(texts)]
    variables = {"ANTHROPIC_BASE_URL": "http://canary:canary@h/canary", "GOOGLE_GEMINI_BASE_URL": "http://h/s/canary"}
    endpoint = find_endpoint(AgentFinding(agent, "tui"), arguments, variables, configs, 8129)
    assert "canary" not in endpoint.origin + endpoint.source
