"""The day, chapter by chapter. Each plays with the `Day` of cast.py and leaves there what later ones need."""
