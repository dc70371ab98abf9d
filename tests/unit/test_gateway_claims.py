"""What the other agents' requests say of themselves; the headers are those that the real ones sent."""

from __future__ import annotations

import pytest

from actors.gateway.attribution import NO_LAUNCH, attribute, caller_of
from actors.gateway.claims import NO_CLAIMS, read_claims
from actors.runtime.http.fields import Fields
from schemas.identity import ProcessKey, process_session

PROCESS = ProcessKey("host", "boot", 7, 70)
SES, PARENT = "ses_e02ddb17dffenNfG26zqTr68bj", "ses_e02d62591ffenh5gyTxurHX02s"
RUN = "8ff83a42-0555-4360-b6e2-423a8c3e73c0"
AUGGIE = "augment.cli/0.36.0 (commit 7c61e5bb)"


@pytest.mark.parametrize(
    "fields",
    [
        {"x-session-id": SES, "x-session-affinity": SES},
        {"x-session-id": SES, "x-session-affinity": SES, "session-id": SES, "originator": "opencode"},
        {"x-opencode-session": SES, "x-opencode-request": "msg_1fd2bfc3b001vp6vrinn0UxWwG", "x-opencode-client": "cli"},
    ],
)
def test_opencode_names_its_session_whichever_provider_it_asks(fields: dict[str, str]) -> None:
    found = attribute(caller_of(PROCESS, "opencode", "tui"), NO_LAUNCH, read_claims(Fields.of(fields)))
    assert (found.session, found.conversation, found.thread) == (f"opencode-{SES}", f"opencode:{SES}", SES)
    stranger = attribute(caller_of(PROCESS, "other", "other"), NO_LAUNCH, read_claims(Fields.of(fields)))
    assert stranger.session == process_session(PROCESS)
    assert any(one.conflict for one in stranger.evidence)


def test_a_session_that_opencode_opened_for_another_says_so() -> None:
    found = read_claims(Fields.of({"x-session-id": SES, "x-parent-session-id": PARENT}))
    assert (found.conversation, found.thread_kind, found.parent_thread) == (f"opencode:{SES}", "subagent", PARENT)


def test_an_id_of_another_form_is_not_opencodes() -> None:
    assert read_claims(Fields.of({"x-session-id": RUN})) is NO_CLAIMS


@pytest.mark.parametrize("end", ["acp", "acp/zed"])
def test_auggie_names_its_session_where_an_editor_drives_it(end: str) -> None:
    claims = read_claims(Fields.of({"x-request-session-id": RUN, "user-agent": f"{AUGGIE}/{end}"}))
    found = attribute(caller_of(PROCESS, "auggie", "app_server"), NO_LAUNCH, claims)
    assert (found.session, found.thread_kind) == (f"auggie-{RUN}", "main")


@pytest.mark.parametrize("end", ["interactive", "noninteractive", "acpx"])
def test_elsewhere_auggies_header_names_no_conversation_and_that_is_said(end: str) -> None:
    claims = read_claims(Fields.of({"x-request-session-id": RUN, "user-agent": f"{AUGGIE}/{end}"}))
    found = attribute(caller_of(PROCESS, "auggie", "exec"), NO_LAUNCH, claims)
    assert (found.session, found.conversation) == (process_session(PROCESS), None)
    assert "in the body" in found.evidence[-1].rejected
    assert not any(one.conflict for one in found.evidence)


@pytest.mark.parametrize("agent", ["gemini-cli/0.61.0", "QwenCode/0.24.4 (linux; x64)", "claude-cli/0.24.4 (external, cli)"])
def test_gemini_and_qwen_say_nothing_and_no_name_of_a_program_is_believed(agent: str) -> None:
    assert read_claims(Fields.of({"user-agent": agent, "anthropic-version": "2023-06-01"})) is NO_CLAIMS
