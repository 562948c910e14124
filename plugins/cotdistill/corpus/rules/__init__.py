"""The rules that find defects in a trace; pure."""
