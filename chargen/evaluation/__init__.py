"""Weights and text to figures: losses, labels, calibration, originality."""
