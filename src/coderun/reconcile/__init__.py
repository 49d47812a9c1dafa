"""Does the world match the object? Gather, decide, apply, one status write: for Plays and for CodeRuns."""
