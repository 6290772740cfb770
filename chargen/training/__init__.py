"""Training: batches, schedule, optimizers, and the loop that all kinds of model share."""
