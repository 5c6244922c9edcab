"""Computes pictures: runs go through the photos, the runner through the steps of each photo."""
