"""Darkroom's engine. Data flows one way: recipe -> plan -> run -> record."""
