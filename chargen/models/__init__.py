"""Ids to logits: recurrent layers, the encoder, the language model and the classifier."""
