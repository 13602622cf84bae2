"""The incident commands: one file for each part of an incident's life."""
