"""How a model is trained: run.py ties a run together, trainer.py is the host's loop, loop.py the device's, step.py one step."""
