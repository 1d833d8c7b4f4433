"""The product's own adapter as a city under test, started from what the kit wrote for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from adapters.app import Adapter
from adapters.config import load_settings
from gateway.conformance.deployment import Deployment, make_deployment

CITY = "eleventh"


def make(folder: Path) -> Deployment:
    """A deployment whose city takes a free port."""
    made = make_deployment(folder / "kit", CITY, "127.0.0.1:7443")
    settings = folder / "kit" / "city" / "adapter.toml"
    text = settings.read_text("utf-8")
    assert '"127.0.0.1:7443"' in text
    settings.write_text(text.replace('"127.0.0.1:7443"', '"127.0.0.1:0"') + "\n[answers]\ntime_grid_s = 0\n", "utf-8")
    return made


@asynccontextmanager
async def serving(
    deployment: Deployment, change: Callable[[str], str] = lambda text: text, kind: type[Adapter] = Adapter
) -> AsyncIterator[str]:
    """The address of the adapter, which stops at the end. ``change`` rewrites its settings."""
    settings = deployment.folder / "city" / "adapter.toml"
    settings.write_text(change(settings.read_text("utf-8")), "utf-8")
    adapter = kind(load_settings(settings, {}))
    await adapter.start()
    try:
        yield adapter.address
    finally:
        await adapter.stop()
