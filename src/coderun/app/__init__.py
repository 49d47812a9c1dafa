"""How it is wired: settings, assembly, workers. With `cli` the room that reads files, environment and clock."""
