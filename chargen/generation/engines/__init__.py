"""Engines: run a language model token by token, in NumPy or in torch."""
