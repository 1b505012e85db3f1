"""Annotation files: which format a file has, which splits a folder holds, and how each is read."""
