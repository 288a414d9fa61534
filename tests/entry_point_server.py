"""Runs entry points many times in one process: imports once, then forks for each call. A child finds everything imported and nothing
yet computed, as a fresh process does.

Reads a JSON list of [module, *arguments] from stdin; writes a JSON list of {"code", "out", "err"}.
"""

import json
import os
import runpy
import sys
import tempfile

import tensorflow  # noqa: F401
import tensorflow_datasets  # noqa: F401

import trainers.runs.run  # noqa: F401


def call(module: str, arguments: list[str]) -> dict:
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        child = os.fork()
        if child == 0:
            os.dup2(out.fileno(), 1)
            os.dup2(err.fileno(), 2)
            sys.argv = [module, *arguments]
            code = 0
            try:
                runpy.run_module(module, run_name="__main__", alter_sys=True)
            except SystemExit as stop:
                code = stop.code or 0
            except BaseException:
                import traceback

                traceback.print_exc()
                code = 99
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
        _, status = os.waitpid(child, 0)
        out.seek(0)
        err.seek(0)
        return {"code": os.waitstatus_to_exitcode(status), "out": out.read().decode(), "err": err.read().decode()}


if __name__ == "__main__":
    print(json.dumps([call(module, arguments) for module, *arguments in json.load(sys.stdin)]))
