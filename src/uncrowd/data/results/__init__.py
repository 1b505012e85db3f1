"""Files of detections, anyone's and ours."""
