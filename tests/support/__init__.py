"""What several test modules share: command lines, run folders, small models and checkpoints."""
