"""Points an Auggie command at the gateway and keeps the user's login and every argument.

Facts, tried with Auggie 0.36.0:

- Where requests go is part of the login: ``{"accessToken", "tenantURL", "scopes"}``, from ``--augment-session-json`` (JSON
  or a file), else AUGMENT_SESSION_AUTH, else ``session.json`` in ``--augment-cache-dir`` or ``~/.augment``. A path in
  ``tenantURL`` is kept. So the login is read where it is, its address replaced, and the whole given in
  AUGMENT_SESSION_AUTH, which is for this process alone: the file stays as it was. The option would outrank the variable
  and show the login in the list of processes, so its place is taken.
- AUGMENT_API_URL and AUGMENT_API_TOKEN alone are no login.
- Without a login it ends ("No auth provided"). Only then the token is a placeholder.

The login's token is handed on and never shown. The gateway asks the tenant that its provider names
(``base_urls.auggie``, ``auth = "passthrough"``), which must be the one of this login. ``--model`` is sent as it is given; one
that the tenant does not list is sent as none.

Pure, but for the function in the ``Wish`` that reads files.
"""

from __future__ import annotations

import json
from typing import Any, Final

from actors.launch.plan import PLACEHOLDER, LaunchRefusedError, Plan, Wish
from actors.launch.words import model_words, options, without
from actors.probe.agents import kind_of

AGENT: Final = "auggie"
_LOGIN: Final = "AUGMENT_SESSION_AUTH"
_OPTION: Final = "--augment-session-json"


def plan_auggie(wish: Wish) -> Plan:
    """Decide how Auggie is started.

    Raises:
        LaunchRefusedError: its login cannot be read.

    """
    if kind_of(AGENT, wish.argv[1:]) in ("other", "mcp"):
        return Plan(argv=wish.argv, agent=AGENT, launched=False)
    login = _login(wish)
    notes: tuple[str, ...] = ()
    if login is None:
        login = {"accessToken": PLACEHOLDER, "scopes": ["email"]}
        notes = ("Auggie has no login here: it is given a placeholder, which no tenant of Augment's takes",)
    login = {**login, "tenantURL": wish.door.auggie}
    argv = without(wish.argv, _OPTION)
    words = model_words(wish.argv, wish.model, "--model", "-m")
    return Plan(
        argv=(argv[0], *words, *argv[1:]),
        agent=AGENT,
        environ={_LOGIN: json.dumps(login)},
        notes=notes,
        speaks=("auggie",),
    )


def _login(wish: Wish) -> dict[str, Any] | None:
    """Return the login that Auggie would use, by its own order."""
    if given := options(wish.argv, _OPTION):
        text = given[-1] if given[-1].lstrip().startswith("{") else wish.read(wish.cwd / given[-1])
        if text is None:
            raise LaunchRefusedError(f"{_OPTION} {given[-1]}: no such file")
        return _checked(text, _OPTION)
    if text := wish.environ.get(_LOGIN):
        return _checked(text, _LOGIN)
    folder = options(wish.argv, "--augment-cache-dir")
    file = (wish.cwd / folder[-1] if folder else wish.home / ".augment") / "session.json"
    text = wish.read(file)
    return None if text is None else _checked(text, str(file))


def _checked(text: str, where: str) -> dict[str, Any]:
    """Read a login; what is wrong with it is said without any of it."""
    try:
        login = json.loads(text)
    except ValueError:
        login = None
    if not isinstance(login, dict) or not isinstance(login.get("accessToken"), str):
        raise LaunchRefusedError(f"{where} holds no login of Auggie's", "log in with: auggie login")
    return login
