"""Weights to disk and back: the run folder, finding runs, atomic files."""
