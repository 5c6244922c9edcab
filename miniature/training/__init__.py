"""The training of the miniature models: one file per model, one loop, one cache of scenes."""
