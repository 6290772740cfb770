"""Text becomes ids: sources, documents, tokenizers, encoded corpora, labelled sets. No torch here."""
