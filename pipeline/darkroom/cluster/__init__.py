"""Runs photos on several processes and machines with Ray. Workers compute; this process writes the run folders."""
