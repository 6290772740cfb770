"""Writing text: engines run a language model token by token, samplers choose each token."""
