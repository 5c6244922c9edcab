"""How the miniature models are trained: one file per model, one loop, one cache of scenes."""
