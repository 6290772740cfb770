"""Recurrent language models: train them on any text, write with them, classify with them."""

__version__ = "0.1.0"
