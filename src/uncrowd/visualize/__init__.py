"""Arrays to pictures and curves; draws, decides nothing."""
