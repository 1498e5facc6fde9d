"""Runs the system tests and prints "N passed, N failed". Start it through tests/system/run.

In: names of test files without `test_` and `.py`; none means all. A skipped test counts as failed: what cannot
be shown here is not shown.
"""

import pathlib
import sys
import time
import unittest


class Result(unittest.TextTestResult):
    """A line a test, with what it shows and how long it took."""

    def startTest(self, test):
        super().startTest(test)
        self.started_at = time.monotonic()

    def stopTest(self, test):
        super().stopTest(test)
        self.stream.writeln(f"      {time.monotonic() - self.started_at:.1f} s")
        self.stream.flush()


def main():
    here = pathlib.Path(__file__).parent
    sys.path.insert(0, str(here))
    names = sys.argv[1:] or sorted(path.stem.removeprefix("test_") for path in here.glob("test_*.py"))
    tests = unittest.defaultTestLoader.loadTestsFromNames([f"test_{name}" for name in names])
    runner = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=Result)
    result = runner.run(tests)
    failed = len(result.failures) + len(result.errors) + len(result.skipped) + len(result.unexpectedSuccesses)
    print(f"{max(0, result.testsRun - failed)} passed, {failed} failed")
    return 1 if failed or not result.testsRun else 0


if __name__ == "__main__":
    sys.exit(main())
