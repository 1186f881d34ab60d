"""What scorax's hot kernels cost on this device, what they could cost at best, and what peers cost.

    python -m benchmarks                               # all rows
    python -m benchmarks bradley --cores 1             # those with "bradley" in name or size, on one core
    python -m benchmarks --json now.json --compare before.json

The ceilings of the device are measured first. A row's floor is the least number of bytes or flops of its work over
the ceiling of that kind, whichever takes longer. Rows and their peers run in turn.
"""

import argparse
import os
import pathlib
import sys
import traceback


def main(arguments: list[str] | None = None) -> int:
    """Run the rows; the exit status: 1 where a row failed, 2 on bad arguments."""
    options = _parse(arguments)
    if options.cores is not None:
        if not hasattr(os, "sched_setaffinity"):
            return _fail("--cores needs Linux; elsewhere, limit the process from outside")
        # Before JAX starts its threads, which it counts by the cores it may use.
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: options.cores])

    import jax

    from benchmarks import _areas, _report
    from benchmarks._ceilings import measure_ceilings
    from benchmarks._measure import measure

    rows = [row for row in _areas.rows() if options.filter.lower() in row.title.lower()]
    if not rows:
        return _fail(f"no row holds {options.filter!r}; --list shows them")
    if options.list:
        print("\n".join(f"{row.name}  ({row.size})" for row in rows))
        return 0
    try:
        earlier = None if options.compare is None else _report.load(options.compare)
    except ValueError as error:
        return _fail(str(error))

    # A compilation taken from a cache on disk is not the one that is to be timed.
    jax.config.update("jax_enable_compilation_cache", False)
    ceilings = measure_ceilings()
    print(_report.ceilings_text(ceilings), _report.heading(), sep="\n\n", flush=True)
    results, failed = [], False
    for row in rows:
        try:
            results.append(measure(row, ceilings, budget=options.budget))
        except Exception:
            failed = True
            print(f"{row.title}: failed", flush=True)
            traceback.print_exc()
        else:
            print(_report.result_text(results[-1], ceilings), flush=True)
    if options.json is not None:
        options.json.write_text(_report.to_json(ceilings, results), encoding="utf-8")
    if earlier is not None:
        print("\n" + _report.comparison_text(ceilings, results, earlier))
    return 1 if failed else 0


def _parse(arguments: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("filter", nargs="?", default="", help="part of a row's name or size (default: all rows)")
    parser.add_argument("--json", type=pathlib.Path, metavar="FILE", help="write the results there")
    parser.add_argument("--compare", type=pathlib.Path, metavar="FILE", help="print ratios to results written earlier")
    parser.add_argument("--cores", type=int, metavar="N", help="use N processor cores (Linux; default: all)")
    parser.add_argument("--budget", type=float, default=2.0, metavar="S", help="seconds of warm runs (default: 2)")
    parser.add_argument("--list", action="store_true", help="list the rows and stop")
    return parser.parse_args(arguments)


def _fail(message: str) -> int:
    print(f"benchmarks: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
