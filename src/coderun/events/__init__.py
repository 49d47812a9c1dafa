"""What happened, and to which task? Events become hints: "look at these plays again", nothing more."""
