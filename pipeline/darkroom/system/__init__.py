"""Files, locks, JSON, signals and the terminal."""
