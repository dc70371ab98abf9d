"""``tabwire providers test``: a provider is really asked, with its own key, as the gateway would ask it.

The key is read in this process, put into the header field of its own provider's requests and nowhere else; what the provider
says is shown without it. Proxies of the environment and redirects are not followed, as the gateway follows neither.
"""

from __future__ import annotations

import os
import socket
import ssl
from collections.abc import Iterator
from typing import Any, Final

import httpx
import orjson
import typer

from actors.cli.failures import FAILURE, USAGE, CommandFailedError
from actors.cli.output import show, show_json
from actors.cli.provider_steps import (
    Question,
    Reply,
    credentials,
    judge,
    judge_models,
    models_in,
    models_question,
    smallest_question,
)
from actors.runtime.config_file import load_config
from actors.runtime.config_rows import origin_of
from actors.runtime.keys import KeyMissingError, read_key
from actors.runtime.paths import Paths
from schemas.config import Provider, ServedDialect
from schemas.rows import Check, Diagnosis

_ANSWER: Final = 60.0
_LARGEST: Final = 8 << 20


def try_provider(name: str, *, model: str | None, json: bool) -> None:
    """Try a provider; the exit code is 1 when anything is wrong with it.

    Raises:
        CommandFailedError: there is no such provider.

    """
    config = load_config(Paths.default(os.environ))
    provider = config.provider(name)
    if provider is None:
        known = ", ".join(sorted({"echo", *config.providers}))
        raise CommandFailedError(f"no provider {name!r} is configured; known here: {known}", USAGE)
    checks = []
    for check in _try(name, provider, model):
        checks.append(check)
        if not json:
            advice = f" ({check.advice})" if check.advice else ""
            show(f"{check.state:<8} {check.subject}: {check.finding}{advice}")
    if json:
        show_json(Diagnosis(checks=tuple(checks)))
    if any(check.state == "problem" for check in checks):
        raise typer.Exit(FAILURE)


def _try(name: str, provider: Provider, model: str | None) -> Iterator[Check]:
    if not provider.enabled:
        yield Check(subject=name, state="note", finding="is disabled", advice=f"tabwire providers enable {name}")
    key = ""
    if provider.auth == "key":
        try:
            key = read_key(provider.key, os.environ).reveal()
        except KeyMissingError as error:
            advice = "this is what this command sees; the gateway reads it where tabwire up was started"
            yield Check(subject=f"key {provider.key}", state="problem", finding=str(error), advice=advice)
            return
        yield Check(subject=f"key {provider.key}", state="ok", finding="is there")
    timeout = httpx.Timeout(_ANSWER, connect=provider.connect_timeout)
    with httpx.Client(timeout=timeout, trust_env=False, follow_redirects=False) as client:
        for dialect in provider.dialects:
            yield from _Trial(client, provider, dialect, key).steps(model)


class _Trial:
    """One dialect of a provider."""

    def __init__(self, client: httpx.Client, provider: Provider, dialect: ServedDialect, key: str) -> None:
        self._client = client
        self._provider = provider
        self._dialect = dialect
        self._key = key
        self._base = provider.base_urls.get(dialect, provider.base_url).rstrip("/")

    def steps(self, model: str | None) -> Iterator[Check]:
        about = f"{self._dialect} at {origin_of(self._base)}"
        wanted = model or next(iter(self._provider.models), "")
        listed: list[str] = []
        question = models_question(self._dialect)
        reply = self._ask(question or Question("/"))
        if reply.failure or question is None or self._provider.auth == "passthrough":
            yield self._reached(about, reply)
            return
        yield (check := judge_models(f"{about}, models", reply, model or ""))
        if check.state == "problem" and reply.status in (401, 403):
            return
        listed = models_in(reply.body)
        wanted = wanted or next(iter(listed), "")
        if not wanted:
            yield Check(subject=about, state="note", finding="no model is known to ask for", advice="add --model NAME")
            return
        yield judge(f"{about}, one request", self._smallest(wanted), wanted)

    def _reached(self, about: str, reply: Reply) -> Check:
        if reply.failure:
            return judge(about, reply, "")
        whose = "the caller's own login goes through, so more cannot be tried here"
        why = whose if self._provider.auth == "passthrough" else "its requests cannot be tried here"
        return Check(subject=about, state="ok", finding=f"answers ({reply.status}); {why}")

    def _smallest(self, model: str) -> Reply:
        question = smallest_question(self._dialect, model)
        if question is None:
            return Reply(failure="cannot be tried|")
        reply = self._ask(question)
        newer = smallest_question(self._dialect, model, "max_completion_tokens")
        if reply.status == 400 and "max_completion_tokens" in str(reply.body) and newer is not None:  # noqa: PLR2004
            reply = self._ask(newer)
        return reply

    def _ask(self, question: Question) -> Reply:
        fields = {**question.fields, **self._provider.headers, "accept-encoding": "identity"}
        if self._key:
            fields |= credentials(self._dialect, self._key)
        method = "GET" if question.body is None else "POST"
        try:
            with self._client.stream(method, self._base + question.path, json=question.body, headers=fields) as answer:
                raw = b""
                for part in answer.iter_bytes():
                    raw += part
                    if len(raw) > _LARGEST:
                        return Reply(failure=f"answers with more than {_LARGEST >> 20} MiB|base_url may lead elsewhere")
        except httpx.HTTPError as error:
            return Reply(failure=_failure(error, self._provider.connect_timeout))
        location = answer.headers.get("location", "") if answer.is_redirect else ""
        return Reply(
            answer.status_code, self._without_key(raw), location=origin_of(location) if "://" in location else location
        )

    def _without_key(self, raw: bytes) -> Any:
        """Read a body as JSON, with nothing in it that is our key."""
        text = raw.decode("utf-8", "replace")
        if self._key:
            text = text.replace(self._key, "[secret]")
        try:
            return orjson.loads(text)
        except ValueError:
            return None


def _failure(error: httpx.HTTPError, connect_timeout: float) -> str:
    """Tell failures apart: ``finding|advice``."""
    causes: list[BaseException] = []
    cause: BaseException | None = error
    while cause is not None and cause not in causes:
        causes.append(cause)
        cause = cause.__cause__ or cause.__context__
    if any(isinstance(one, ssl.SSLError) for one in causes):
        why = next((one.verify_message for one in causes if isinstance(one, ssl.SSLCertVerificationError)), "")
        return f"TLS fails{f': {why}' if why else ''}|check base_url (http or https?) and the certificate"
    for kind, said in (
        (socket.gaierror, "its name cannot be resolved|check base_url, and this computer's DNS"),
        (ConnectionRefusedError, "refuses connections|is it running, and is the port right?"),
        (httpx.ConnectTimeout, f"no connection within {connect_timeout:g} s|check base_url and the network"),
        (httpx.TimeoutException, f"no answer within {_ANSWER:g} s|it may be loading a model; try again"),
        (httpx.ConnectError, "cannot be reached|check base_url and the network"),
    ):
        if any(isinstance(one, kind) for one in causes):
            return said
    return f"ends the connection ({type(error).__name__})|is that an HTTP address? check base_url"
