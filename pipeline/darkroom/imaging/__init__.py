"""Pictures as arrays: decoding and encoding, crops, masks, compositing. Nothing here knows recipes or models."""
