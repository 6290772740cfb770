"""Logits to weights: batches, schedule, regularisation, and the loop that both kinds of model share."""
