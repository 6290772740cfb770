"""Weights to text: samplers choose, engines run the model one symbol at a time, generate makes text of both."""
