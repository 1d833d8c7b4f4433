"""The tiergate gateway: asks home cities, decides terms, and logs every decision before it is answered.

Nothing here may hold a score, a name or an identifier that outlives its consent; city-side code lives in ``adapters``.
"""

__version__ = "0.1.0"
