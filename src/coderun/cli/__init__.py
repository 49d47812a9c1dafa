"""What a person can type: one module a command. No logic that another room could hold."""
