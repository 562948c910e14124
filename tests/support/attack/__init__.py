"""The attack suite's tools: which commands are attacked, how files are damaged, who counts."""
