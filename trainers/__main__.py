"""Which way is this process to serve? As a worker, or to answer one question about specs, runs or files."""

from __future__ import annotations

import argparse


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -P -m trainers", description=__doc__)
    verbs = parser.add_subparsers(dest="verb", required=True)
    work = verbs.add_parser("work", help="run what the daemon asks for on two inherited descriptors")
    work.add_argument("--in", dest="in_fd", type=int, required=True, metavar="FD")
    work.add_argument("--out", dest="out_fd", type=int, required=True, metavar="FD")
    verbs.add_parser("check", help="validate configs: a JSON object on stdin, one on stdout")
    verbs.add_parser("regrade", help="metrics of stored runs: a JSON object on stdin, one on stdout")
    verbs.add_parser("squeeze", help="singular values of adapters: a JSON object on stdin, one on stdout")
    arguments = parser.parse_args()
    if arguments.verb == "work":
        from trainers._worker import work as serve

        serve(arguments.in_fd, arguments.out_fd)
    elif arguments.verb == "regrade":
        from trainers._regrade import regrade

        regrade()
    elif arguments.verb == "squeeze":
        from trainers._squeeze import squeeze

        squeeze()
    else:
        from trainers._check import check

        check()


if __name__ == "__main__":
    main()
