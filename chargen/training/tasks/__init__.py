"""The tasks that the loop trains: language model and classifier; and the probe, which is fitted at once."""
