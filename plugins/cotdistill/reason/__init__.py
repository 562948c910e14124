"""The science: pure functions over text and numbers; no disk, clock, network or host."""
