"""One family of models a file. A new model is a new file here; nothing lists them."""
