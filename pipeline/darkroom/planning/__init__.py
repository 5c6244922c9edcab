"""What will be computed: steps, their cache keys, and what the chosen models cannot do."""
