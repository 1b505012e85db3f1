"""The command line: parse, call, say what went wrong in a sentence."""
