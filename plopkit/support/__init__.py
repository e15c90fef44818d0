"""Tools that know nothing of segmentation: errors, files, resources, precision, seeds."""
