"""Recurrent layers in NumPy, the twins of `models/cells` for running without torch."""
