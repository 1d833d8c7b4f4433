"""``tiergate serve`` and ``tiergate adapter serve``: the processes."""

from __future__ import annotations

import os
from typing import Annotated

from cyclopts import App, Parameter

from gateway.cli.options import ConfigFile, LifelineFd, ReadyFile
from gateway.errors import Problem, ProblemsError, Reason

adapter = App(name="adapter", help="A city: begin, run the adapter, write its journal.")
adapter.command("gateway.cli.adapter_init:init", name="init", help="Write what a city that joins starts from.")
adapter.command("gateway.cli.adapter_journal:journal", name="journal", help="Write the journal for an auditor.")


def serve_gateway(*, config: ConfigFile, lifeline_fd: LifelineFd = None, ready_file: ReadyFile = None) -> None:
    """Run the gateway until SIGTERM, SIGINT, or the end of the lifeline.

    Its settings name where it listens, its data folder, certificate, signed files and log key. Environment variables
    TIERGATE_GATEWAY_<KEY> override them. Stops in good order: calls in hand are answered first.
    """
    import uvloop

    from gateway.app import serve

    uvloop.run(serve(config, lifeline_fd=lifeline_fd, ready_file=ready_file))


@adapter.command(name="serve")
def serve_adapter(
    city: Annotated[str, Parameter(help="Which city, such as fuzhou; the settings must be that city's.")],
    *,
    config: ConfigFile,
    lifeline_fd: LifelineFd = None,
    ready_file: ReadyFile = None,
) -> None:
    """Run the adapter of CITY, inside the city's own trust domain, until SIGTERM, SIGINT, or the end of the lifeline.

    It turns scores into rungs, keeps the city's consents, and answers the gateway. adapters/README.md says what to set.
    """
    import uvloop

    from adapters.config import load_settings
    from adapters.serve import serve

    settings = load_settings(config, os.environ)
    if settings.city != city:
        problem = Problem(str(config), "city", f'is "{settings.city}", not "{city}"', "name that city's settings")
        raise ProblemsError(Reason.CONFIG_INVALID, [problem])
    uvloop.run(serve(settings, config, lifeline_fd=lifeline_fd, ready_file=ready_file))
