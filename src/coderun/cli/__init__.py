"""What can a person type? One module a command; nothing heavy is imported before a command runs."""
