"""`watchword serve` as a worker of a test: `python -m tests.served PORT`. It ends when whoever started it does."""

import sys

from tests import ending

from watchword.server import cli

if __name__ == "__main__":
    ending.with_the_tests()
    sys.argv = ["watchword", "serve", "--port", sys.argv[1]]
    cli.run()
