"""How a model is trained: learner.py has the host's loop, loop.py the device's, step.py one step."""
