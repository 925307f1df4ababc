"""From named photos to capture histories, a number of animals, and files for other programs."""
