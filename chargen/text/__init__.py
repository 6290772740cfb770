"""From text to ids: sources, documents, tokenizers, encoded corpora, labelled sets. Nothing here imports torch."""
