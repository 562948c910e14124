"""What keeps a study from being run, found by its names, numbers and questions alone."""
