"""One use each: compose the layers below, decide nothing new."""
