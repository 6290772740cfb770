"""Label texts with a trained classifier, and explain the labels."""
