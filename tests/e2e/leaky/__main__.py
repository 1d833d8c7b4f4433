"""``python -m tests.e2e.leaky …``: the product's command with the leaks planted first."""

from __future__ import annotations

import json
import os

from gateway.cli import run
from tests.e2e.leaky.plant import VARIABLE, plant

if __name__ == "__main__":
    plant({int(points): leak for points, leak in json.loads(os.environ[VARIABLE]).items()})
    run()
