"""The one path from pixels to detections."""
