"""Says what goes wrong: errors by kind, recall of crowded objects, confused classes, calibration."""
