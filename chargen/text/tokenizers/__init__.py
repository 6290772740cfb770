"""Text to ids and back: characters, bytes, or pieces of words."""
