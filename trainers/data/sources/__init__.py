"""Where data comes from: one source a file, a function of the file's name that returns `pipeline.Source`."""
