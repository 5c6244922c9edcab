"""What is done with runs that are there: verify them, make them again, tell what has changed since."""
