"""Mix trace files by weight into a training set."""
