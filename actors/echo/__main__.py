"""Run the echo server: under the supervisor (``python -m actors.echo``), or alone (``python -m actors.echo --port 8131``)."""

from __future__ import annotations

import argparse
import signal
import sys

import anyio

from actors.echo.server import LOOPBACK, PortError, serving
from actors.runtime.actor import Actor, run_actor
from schemas.config import ConfigError


async def serve(actor: Actor) -> None:
    """Serve on the configured port until told to stop.

    Raises:
        ConfigError: the port cannot be had.

    """
    try:
        async with serving(actor.config.echo.port, actor.log) as port:
            actor.ready(port=port)
            await actor.stopping.wait()
    except PortError as error:
        raise ConfigError(str(actor.paths.config_file), 0, "echo.port", str(error)) from error


async def _serve_alone(port: int) -> None:
    async with serving(port) as bound:
        print(f"echo server on http://{LOOPBACK}:{bound}/v1", flush=True)  # noqa: T201  # what the caller waits for
        with anyio.open_signal_receiver(signal.SIGINT, signal.SIGTERM) as signals:
            async for _ in signals:
                return


def main() -> None:
    """Choose by the command line."""
    if len(sys.argv) == 1:
        run_actor("echo", serve)
    parser = argparse.ArgumentParser(prog="python -m actors.echo", description="The built-in model server.")
    parser.add_argument("--port", type=int, required=True, help="run alone on this port of loopback; 0 takes a free one")
    anyio.run(_serve_alone, parser.parse_args().port)


if __name__ == "__main__":
    main()
