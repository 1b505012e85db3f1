"""Arrays to images and curves; draws, decides nothing."""
