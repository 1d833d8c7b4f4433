"""Whether the reasons of an ordinary answer look alike to an operator: to the byte, in the log, and in time.

``python -m bench.leak``; README.md of the benchmark tells the method. Nothing of the product is switched or changed
here; the one thing that is, a delay planted on purpose, lives in ``planted.py`` and runs as a program of its own.
"""
