"""Models, from ids to logits: recurrent cells, the encoder, the language model and the classifiers."""
