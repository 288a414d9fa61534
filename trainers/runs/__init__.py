"""The folder of a run: how it is built, saved, resumed and finished."""
