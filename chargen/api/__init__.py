"""chargen from Python: train, load, evaluate, writer, classifier."""
