"""Runs one case a line: a name comes in, what the node did goes out. `main.rs` knows what it should have done.

Arguments: the directory of certificates, the exchange, legacy and admin ports, a word the node must never write down.
"""

import sys

import after
import flight
import hello
import legacy
import tickets
from wire import Ended, Member, Talk


class Site:
    """Where the node is, and who we are."""

    def __init__(self, directory, exchange, legacy_port, admin, canary):
        self.directory = directory
        self.exchange, self.legacy, self.admin = int(exchange), int(legacy_port), int(admin)
        self.canary = canary.encode()
        self.good = self.member("alpha")
        self.kept = None

    def member(self, name):
        return Member(self.directory, name)

    def talk(self):
        return Talk(self.exchange)

    def met(self, hello_sent):
        """A connection on which it is the client's turn to prove who it is."""
        talk = self.talk()
        talk.greet(hello_sent)
        return talk.meet()


def main():
    site = Site(*sys.argv[1:])
    cases = {}
    for module in (hello, flight, after, tickets, legacy):
        assert not cases.keys() & module.CASES.keys(), "a name is used twice"
        cases.update(module.CASES)
    print(" ".join(cases), flush=True)
    for name in sys.stdin:
        try:
            outcome = cases[name.strip()](site)
        except Ended as ended:
            outcome = str(ended)
        print(outcome, flush=True)


if __name__ == "__main__":
    main()
