"""What the lessons look into: nets, masks and tables taken apart for pictures. Nothing here trains a run."""
