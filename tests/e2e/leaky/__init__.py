"""The product with a leak planted in every channel, to prove that the search for canaries finds leaks.

``python -m tests.e2e.leaky …`` takes the product's own command line; ``TIERGATE_TEST_LEAKS`` says which canary goes
where. Nothing here weakens the product itself: each leak is one changed function of a running process.
"""
