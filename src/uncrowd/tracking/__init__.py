"""Follows objects through the frames of a video, and counts them at lines and in zones."""
