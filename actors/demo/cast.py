r"""Who plays in ``tabwire up --demo``: three agents in three terminal tabs, each with a different claim to be believed. Pure.

For whoever starts them (the CLI)::

    for member in cast(new_guid=lambda: str(uuid4())):
        process = Popen(member.argv(sys.executable), env=member.environ(os.environ, base_url), stdin=PIPE, …)
        if member.launched:
            write the launch record: agent=AGENT, provider=PROVIDER, terminal=member.terminal_key, process=its ProcessKey
            process.stdin.write(b"go\n"); process.stdin.flush()        # the agent sends nothing before; ≤ GO_SECONDS

* ``base_url`` of a launched member ends in ``/s/<token>/v1``, of the others in ``/v1``. It is handed over in the
  environment, so that the token does not show in a list of processes.
* Start them without ``start_new_session``: an agent that has a controlling terminal ends when that goes away. Each ends by
  itself after ``LIFETIME`` seconds in any case, and when the gateway has been away for half a minute.
* A member that is not launched goes to the default provider. Leave it out when that is not ``PROVIDER``: the demo must not
  spend anybody's money.
* ``member.shows`` says what a newcomer should see in its row.

Must not know tokens, records, the bus or how processes are started.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from actors.probe.terminal import VARIABLES
from schemas.identity import TerminalKey, terminal_key

AGENT = "demo"
PROVIDER = "echo"
MODULE = "actors.demo.agent"
BASE_URL_VARIABLE = "TABWIRE_DEMO_BASE_URL"
LIFETIME = 300.0
GO_SECONDS = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Member:
    """One agent of the demo. ``turns`` None goes on until its lifetime ends, 0 never sends anything."""

    name: str
    wt_session: str
    launched: bool
    shows: str
    conversation: str | None = None
    turns: int | None = None
    pace: float = 5.0
    prompts: tuple[str, ...] = ()

    @property
    def terminal_key(self) -> TerminalKey:
        """The terminal that its row should show."""
        return terminal_key("wt", self.wt_session)

    def argv(self, python: str) -> list[str]:
        """Return its command line for this Python interpreter."""
        arguments = [python, "-m", MODULE, "--name", self.name, "--pace", f"{self.pace:g}", "--lifetime", f"{LIFETIME:g}"]
        if self.conversation is not None:
            arguments += ["--conversation", self.conversation]
        if self.turns is not None:
            arguments += ["--turns", str(self.turns)]
        if self.launched:
            arguments.append("--await-go")
        for prompt in self.prompts:
            arguments += ["--prompt", prompt]
        return arguments

    def environ(self, parent: Mapping[str, str], base_url: str) -> dict[str, str]:
        """Return its environment: the parent's, in a tab of its own instead of the parent's."""
        inherited = {name: value for name, value in parent.items() if name not in VARIABLES}
        return {**inherited, "WT_SESSION": self.wt_session, BASE_URL_VARIABLE: base_url}


def cast(new_guid: Callable[[], str]) -> tuple[Member, ...]:
    """Return the members, each in a new tab, with conversations that never were."""
    return (
        Member(
            name="ada",
            wt_session=new_guid(),
            launched=True,
            conversation=new_guid(),
            shows="verified: launched by us, and it has named its conversation in a request",
            prompts=(
                "Why does the retry loop never end? [echo words=40 pace=30ms]",
                "Then add a limit of five tries. [echo words=25 pace=30ms]",
                "Write a test for it. [echo words=60 pace=20ms]",
            ),
        ),
        Member(
            name="bo",
            wt_session=new_guid(),
            launched=True,
            turns=0,
            shows="provisional: launched by us, and it has not sent anything yet",
        ),
        Member(
            name="cy",
            wt_session=new_guid(),
            launched=False,
            pace=7.0,
            shows="verified by the kernel: nobody launched it, its connection led to its process and tab",
            prompts=("What changed since yesterday? [echo words=30 pace=40ms]", "Summarise that. [echo words=12 pace=40ms]"),
        ),
    )
