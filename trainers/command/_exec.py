"""How does a program come to die with its worker? This script asks the kernel for it and becomes the program.

Run as `python -I -S _exec.py PARENT PROGRAM ARGV...`; it imports nothing of Roundhouse.
"""

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1

parent, program, argv = int(sys.argv[1]), sys.argv[2], sys.argv[3:]
if ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0) != 0 or os.getppid() != parent:
    sys.exit("the worker was gone before its program began")
# Python or the worker ignores these for itself, and what is ignored stays so in the program.
for number in (signal.SIGPIPE, signal.SIGXFSZ, signal.SIGINT, signal.SIGQUIT):
    signal.signal(number, signal.SIG_DFL)
try:
    os.execv(program, argv)
except OSError as error:
    sys.exit(f"{program}: {error.strerror}")
