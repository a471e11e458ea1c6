"""The part of SymPy's `runtests` that our runner drives, for projects that look like SymPy."""

RUNTESTS = """\
import sys


class SymPyTests:
    def __init__(self, reporter, seed=None):
        self._reporter = reporter

    def matches(self, function):
        return True

    def test_file(self, filename):
        names = {"__file__": filename}
        try:
            with open(filename) as file:
                exec(compile(file.read(), filename, "exec"), names)
        except ImportError:
            self._reporter.import_error(filename, sys.exc_info())
            return
        except Exception:
            self._reporter.test_exception(sys.exc_info())
        tests = [f for name, f in names.items() if name.startswith("test_") and self.matches(f)]
        self._reporter.entering_filename(filename, len(tests))
        for test in tests:
            self._reporter.entering_test(test)
            try:
                test()
            except AssertionError:
                self._reporter.test_fail(sys.exc_info())
            except Exception:
                self._reporter.test_exception(sys.exc_info())
            else:
                self._reporter.test_pass()
        self._reporter.leaving_filename()
"""
