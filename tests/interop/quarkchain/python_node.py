"""What a real Python node needs before pyquarkchain can be imported and run by a Python of today.

PYQUARKCHAIN is a directory with pyquarkchain in it; what else it imports has to be there already (docs/testing.md).
"""
import asyncio
import os
import sys
import warnings


def without_loop(function):
    """Python 3.10 took away an argument that pyquarkchain gives."""
    def call(*arguments, loop=None, **named):
        return function(*arguments, **named)
    return call


def prepare():
    warnings.simplefilter("ignore")
    sys.dont_write_bytecode = True
    sys.path.insert(0, os.environ["PYQUARKCHAIN"])
    asyncio.open_connection = without_loop(asyncio.open_connection)
    asyncio.start_server = without_loop(asyncio.start_server)
    # It would be made by the first who asks, with a warning.
    asyncio.set_event_loop(asyncio.new_event_loop())
    from quarkchain import utils
    del utils.QKCLogger.findCaller  # of logging's own, which has one more argument since Python 3.8
