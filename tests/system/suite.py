"""Runs the system tests and prints "N passed, N failed". Start it through tests/system/run.

In: names of test files without `test_` and `.py`; none means all. A skipped test counts as failed: what cannot
be shown here is not shown. All of them are run in two processes, for most of their time is spent waiting.
"""

import io
import pathlib
import sys
import time
import unittest
from concurrent.futures import ProcessPoolExecutor

HERE = pathlib.Path(__file__).parent
# What happens in a booted container, with a network of its own, is in nobody's way; it takes nearly as long as all the others.
BESIDE = ["package"]


class Result(unittest.TextTestResult):
    """A line a test, with what it shows and how long it took."""

    def startTest(self, test):
        super().startTest(test)
        self.started_at = time.monotonic()

    def stopTest(self, test):
        super().stopTest(test)
        self.stream.writeln(f"      {time.monotonic() - self.started_at:.1f} s")
        self.stream.flush()


def run(names, stream):
    """How many tests of these files passed, and how many did not."""
    tests = unittest.defaultTestLoader.loadTestsFromNames([f"test_{name}" for name in names])
    result = unittest.TextTestRunner(stream=stream, verbosity=2, resultclass=Result).run(tests)
    failed = len(result.failures) + len(result.errors) + len(result.skipped) + len(result.unexpectedSuccesses)
    return max(0, result.testsRun - failed), failed


def run_aside(names):
    """The same, and what it wrote."""
    stream = io.StringIO()
    return *run(names, stream), stream.getvalue()


def main():
    sys.path.insert(0, str(HERE))
    if names := sys.argv[1:]:
        passed, failed = run(names, sys.stdout)
    else:
        names = sorted(path.stem.removeprefix("test_") for path in HERE.glob("test_*.py"))
        with ProcessPoolExecutor(1) as aside:
            beside = aside.submit(run_aside, BESIDE)
            passed, failed = run([name for name in names if name not in BESIDE], sys.stdout)
            passed_beside, failed_beside, log = beside.result()
        print(log, end="")
        passed, failed = passed + passed_beside, failed + failed_beside
    print(f"{passed} passed, {failed} failed")
    return 1 if failed or not passed else 0


if __name__ == "__main__":
    sys.exit(main())
