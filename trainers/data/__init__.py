"""A data set by name -> Data: batches {"x", "y", "w"} of one static shape. pipeline.py has load_data."""
