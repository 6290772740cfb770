"""Runs on disk: the run folder, creating and finding runs, atomic files."""
