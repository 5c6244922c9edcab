"""Computes pictures: the jobs, the runner that takes their photos through the steps, and delivery into run folders."""
