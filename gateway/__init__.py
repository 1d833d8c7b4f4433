"""The tiergate gateway: asks home cities, decides terms, and logs every decision before it is answered.

Nothing here may hold a score, a name or an identifier that outlives its consent; city-side code lives in ``adapters``.
"""

import os

# Before anything imports grpc, which reads it then: its core would write to stderr by itself, past our log, a line for
# every strange connection that quotes what was sent.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

__version__ = "0.1.0"
