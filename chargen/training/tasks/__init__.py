"""What the loop trains: one file a kind of run."""
