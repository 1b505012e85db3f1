"""Reads and writes files of detections."""
