"""The Python interface: train, load, evaluate, and the classes for writing, classifying and embedding."""
