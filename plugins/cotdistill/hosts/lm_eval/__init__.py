"""lm-evaluation-harness: its task files, its runs, the samples it writes."""
