"""Every test of the product; the folders mirror the apps."""
