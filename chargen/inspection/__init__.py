"""Look inside a trained model: what it reads, and what its units, gates, gradients and states do."""
