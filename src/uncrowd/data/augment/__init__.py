"""What else training may do to an image and its boxes, one idea a file. All of it is off by default."""
