import json
import pathlib

ORACLES = pathlib.Path(__file__).parents[1] / "oracles" / "evals"


def oracle(name):
    return json.loads((ORACLES / f"{name}.json").read_text())
