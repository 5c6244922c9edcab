"""What is done with existing runs: verify them, reproduce them, explain differences, report on and prune the store."""
