"""A peer's process: reads a request a line, writes an answer a line, both JSON; see protocol.py.

python -m benchmarks.peers MODULE ARGUMENTS
"""

import importlib
import json
import os
import sys

from benchmarks.peers.workloads import Workload, load_examples


def _one_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines() or [""]
    said = " ".join(lines[:2]) if lines[0].endswith(":") else lines[0]
    return f"{type(error).__name__}: {said}"[:200]


def main(module: str, arguments: str) -> None:
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # whatever a library prints must not come between the answers

    def answer(**found) -> None:
        print(json.dumps(found), file=answers, flush=True)

    try:
        build = importlib.import_module(module).build
    except ModuleNotFoundError as error:
        return answer(error=f"{error.name} is not installed")
    except Exception as error:
        return answer(error=_one_line(error))
    answer(ready=True)
    trials = {}
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if request["do"] == "build":
                workload = Workload(**request["workload"])
                examples = load_examples(request["examples"], workload)
                trial = build(workload, examples, request["measure"], **json.loads(arguments))
                trials[request["key"]] = trial
                answer(settings=trial.settings, parameters=trial.parameters, **trial.run(0.0))
            else:
                answer(**trials[request["key"]].run(request["seconds"]))
        except Exception as error:
            answer(error=_one_line(error))


if __name__ == "__main__":
    main(*sys.argv[1:])
