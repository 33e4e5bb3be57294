"""unittest that prints the lines of tests/README.md: what the suites written in Python have in common."""
import sys
import unittest


def first_line(error):
    text = str(error).strip()
    return text.splitlines()[0] if text else type(error).__name__


class Lines(unittest.TestResult):
    """One line a test, the traceback of a failed one before it."""

    @staticmethod
    def name(test):
        return test.id().split(".")[-1].rstrip(")").replace(" ", "_")

    def bad(self, test, err, traceback):
        print(traceback)
        print(f"not ok {self.name(test)} {first_line(err[1])}", flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        print(f"ok {self.name(test)}", flush=True)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        print(f"skip {self.name(test)} {reason}", flush=True)

    def addSubTest(self, test, subtest, err):
        super().addSubTest(test, subtest, err)
        if err:
            kind = self.failures if issubclass(err[0], test.failureException) else self.errors
            print(f"in {subtest.id()}")
            self.bad(test, err, kind[-1][1])

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.bad(test, err, self.failures[-1][1])

    def addError(self, test, err):
        super().addError(test, err)
        self.bad(test, err, self.errors[-1][1])


def chosen(suite, words):
    for item in suite:
        if isinstance(item, unittest.TestSuite):
            yield from chosen(item, words)
        elif not words or any(word in item.id() for word in words):
            yield item


def main(words, *modules):
    """Runs the tests of modules whose names contain one of words, or all; exits 0 if all is well."""
    found = unittest.TestSuite(map(unittest.defaultTestLoader.loadTestsFromModule, modules))
    result = Lines()
    unittest.TestSuite(chosen(found, words)).run(result)
    sys.exit(0 if result.wasSuccessful() and result.testsRun > 0 else 1)
