"""What runs a language model step by step: NumPy or torch."""
