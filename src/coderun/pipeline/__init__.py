"""What should happen next? The pipeline as data, the facts, and the one pure function `decide`."""
