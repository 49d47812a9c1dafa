"""What a run needs: `plan(coderun, roster, settings) -> RunPlan`, without any I/O."""
