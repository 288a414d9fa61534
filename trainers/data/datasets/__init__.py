"""Data sets of our own, as tensorflow-datasets builders: one a file, a class of the file's name. No network is needed."""
