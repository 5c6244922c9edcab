"""Works with existing runs: verifies and reproduces them, explains differences, reports on and prunes the store."""
