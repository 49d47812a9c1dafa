"""What happens inside a run: the supervisor of its processes, git work, CLI adapters, evidence, report."""
