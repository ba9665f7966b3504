#!/usr/bin/env python3
"""Reads critest's report and says what it means: report.py EXPECTED PEER
JUNIT... [--part]

EXPECTED has a line for each spec that can't pass on this machine: outcome
(`skipped` by the suite itself or `failed`), for whom (`all` or one peer), a
regular expression of its name, and the reason. Whatever else does not pass is
a failure, and so is a line that no longer holds (but not with --part, when
only some specs have run).
"""

import re
import sys
import xml.etree.ElementTree as tree


def outcomes(paths):
    """(name, outcome, message, seconds) of each spec."""
    for path in paths:
        for case in tree.parse(path).iter("testcase"):
            name = re.sub(r"^\[It\] ", "", case.get("name"))
            if case.get("name").startswith(("[BeforeSuite]", "[AfterSuite]", "[ReportAfterSuite]")):
                if case.get("status") == "passed":
                    continue
            bad = case.find("failure")
            bad = case.find("error") if bad is None else bad
            skip = case.find("skipped")
            seconds = float(case.get("time", 0))
            if bad is not None:
                yield name, "failed", bad.get("message") or (bad.text or "").strip(), seconds
            elif skip is not None:
                yield name, "skipped", skip.get("message") or "", seconds
            else:
                yield name, "passed", "", seconds


def main():
    part = "--part" in sys.argv
    expected_file, peer, *paths = [a for a in sys.argv[1:] if a != "--part"]
    expected = []
    for line in open(expected_file):
        if line.strip() and not line.startswith("#"):
            outcome, whose, pattern, reason = line.rstrip("\n").split("\t")
            if whose in ("all", peer):
                expected.append((outcome, re.compile(pattern), reason))
    count = {"passed": 0, "failed": 0, "skipped": 0}
    bad, used = 0, set()
    for name, outcome, message, seconds in outcomes(paths):
        if part and outcome == "skipped" and message in ("", "skipped"):
            continue
        count[outcome] += 1
        rows = [i for i, (_, pattern, _) in enumerate(expected) if pattern.search(name)]
        matching = [i for i in rows if expected[i][0] == outcome]
        used.update(matching)
        if outcome == "passed":
            print(f"ok    {name} ({seconds:.1f} s)")
        elif matching:
            print(f"{outcome:<8}{name}: {expected[matching[0]][2]}")
        else:
            bad += 1
            first = " ".join(message.split())[:300]
            print(f"FAIL  {name}: {outcome}: {first}")
    for i, (outcome, pattern, _) in enumerate(expected):
        if i not in used and not part:
            bad += 1
            print(f"FAIL  expected.tsv: nothing that matches {pattern.pattern!r} is {outcome} any more: remove the line")
    print(f"critest with {peer}: {count['passed']} passed, {count['failed']} failed, "
          f"{count['skipped']} skipped; {bad} of these unexpected")
    sys.exit(1 if bad else 0)


main()
