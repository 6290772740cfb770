"""Weights and text to labels, and why."""
