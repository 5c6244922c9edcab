"""What a good engineer would write instead of a recipe. `make bench` measures Darkroom against these scripts.

Each is a whole program that makes real files, with the same models, steps and sizes. None of them keeps intermediate
pictures or records, can be resumed, or checks anything.
"""
