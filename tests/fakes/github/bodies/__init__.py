"""The bodies that the fake sends, in GitHub's form. They read the state and change nothing."""
