"""End-to-end object detection for crowded pictures."""
