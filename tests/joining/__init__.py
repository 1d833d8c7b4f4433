"""The documents that take a city or an operator into the network, followed to the letter in a scratch folder."""
