"""What a user asks for: recipe files, recipes, settings, and how the command line composes them."""
