"""What a person types: the state of everything on a terminal, a report of the configuration, everything at once."""
