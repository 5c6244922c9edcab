"""The miniature models: networks, weights, and the wrappers that make up for their size."""
