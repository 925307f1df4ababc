"""Looking inside a trained network: what it has learned, where it looks, what fools it."""
