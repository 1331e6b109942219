"""Plays regions, channels and administrators through a whole day and the next morning.

Usage: day.py JJJ SANDBOX PROTO_DIR, on a fresh sandbox of `jjj init`; JJJ is the binary, which is run
here because the story needs a clock: the day is an 18th, and then it is the 19th. Exits non-zero when
anything is not as documented, or when a method of the API was never called.
"""

import sys
import time

from chapters import (
    agreement, closing, contracts, enrolment, entitlement, mandate, payments, people, policy, proofs, recognition, reconciliation, refusals,
    settlement, subsidy,
)
from chapters.cast import Day, morning_of_the_18th
from gateway import Gateway


def main(jjj, sandbox, proto_dir):
    with Gateway(jjj, sandbox) as gateway:
        offset = morning_of_the_18th(time.time())
        gateway.serve(offset)
        day = Day(gateway, proto_dir)
        for chapter in (enrolment, policy, agreement, recognition, people, contracts, entitlement, payments, mandate, subsidy, refusals):
            chapter.play(day)
        proofs.events(day)
        reconciliation.too_early(day)

        # The next morning. What was promised last night is in the log by then.
        time.sleep(1.5)
        gateway.serve(offset + 24 * 3600)
        reconciliation.without_file(day)
        for chapter in (settlement, reconciliation, closing, proofs):
            chapter.play(day)
        nothing_left_out(day)


def nothing_left_out(day):
    """Every method of the API has been called and has answered OK."""
    methods = day.api.methods()
    missing = sorted(methods - day.notebook.called)
    assert not missing, f"never called: {missing}"
    print(f"called all {len(methods)} methods of {len(day.api.services)} services")


if __name__ == "__main__":
    main(*sys.argv[1:4])
