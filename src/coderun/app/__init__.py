"""How it is wired: settings, assembly, workers. Beside `cli` the room that reads files, environment and clock for the others."""
