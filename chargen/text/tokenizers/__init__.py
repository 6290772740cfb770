"""Tokenizers: text to ids and back, as characters, bytes or pieces of words."""
