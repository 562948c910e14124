"""What runs on the inside of the sandbox: scripts of the standard library alone.

They are started by file name in an interpreter that knows no other package of ours, and then import
each other by bare names. The outside reads constants from them and calls nothing that confines.
"""
