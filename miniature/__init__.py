"""The picture-book world, and how the miniature models are trained, measured and pictured. Not part of the package.

`darkroom.models.miniature` holds what a user needs to run them.
"""
