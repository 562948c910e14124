"""Places, not meaning: where things lie and how they are read and written whole."""
