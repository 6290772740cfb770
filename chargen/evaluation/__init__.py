"""Metrics of trained models: losses, classification, calibration, originality."""
