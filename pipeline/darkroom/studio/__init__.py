"""The studio: a page on which recipes are made, on top of the same session code as the command line."""
