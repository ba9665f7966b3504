#!/usr/bin/env python3
"""Compares two runs of Python's regression suite.

compare.py NATIVE SENTRY EXPECTED
    prints each test that passed natively and not in the sentry and is not listed in
    EXPECTED (lines of: test, tab, reason), and each row there whose test passes in both, or,
    of the whole suite, is no test that passes natively; then one line of figures. Exits 1 if
    there is such a test or row, or if, of the whole suite, less than 98 % of what passed
    natively did. A row with a third column, `sometimes`, may pass.
"""

import collections
import glob
import os
import sys
import xml.etree.ElementTree as ET


def results(folder):
    """What became of each test: pass, skip, fail or error; and of modules as a whole."""
    found = {}
    for path in glob.glob(f"{folder}/*.xml"):
        try:
            tree = ET.parse(path)
        except ET.ParseError:
            continue
        for case in tree.iter("testcase"):
            bad = [e.tag for e in case if e.tag in ("failure", "error", "skipped")]
            found[case.get("name")] = {"skipped": "skip"}.get(bad[0], "fail") if bad else "pass"
    with open(f"{folder}/ended") as ended:
        for line in ended:
            module, status, _ = line.split()
            # 0 passed, 2 some test failed, 3 interrupted, 4 nothing ran: the rest has no file.
            if not os.path.exists(f"{folder}/{module}.xml"):
                found[f"{module} as a whole"] = "fail" if status != "4" else "skip"
            else:
                found[f"{module} as a whole"] = "pass"
    return found


def main():
    native_folder, sentry_folder, expected_path = sys.argv[1:]
    native, sentry = results(native_folder), results(sentry_folder)
    with open(expected_path) as file:
        rows = [line.rstrip("\n").split("\t") for line in file if line.strip() and line[0] != "#"]
    expected = {row[0]: row[2:] for row in rows}
    passed = [name for name, became in native.items() if became == "pass"]
    all_of_it = len(passed) > 5000
    lost = [name for name in passed if sentry.get(name, "missing") != "pass"]
    whole = {name.split()[0] for name in lost if name.endswith(" as a whole")}
    # What a module that did not end had still to say is one finding.
    unlisted = [name for name in lost if name not in expected
                and (name.endswith(" as a whole") or not any(f".{m}." in f".{name}." for m in whole))]
    missing = collections.Counter()
    for name in sorted(unlisted):
        if name in sentry:
            print(f"FAIL  {name}: passes natively, {sentry[name]} in the sentry")
        else:
            missing[name.removeprefix("test.").split(".")[0]] += 1
    for module, count in missing.items():
        print(f"FAIL  {module}: {count} tests that pass natively were not come to in the sentry")
    # The list may only shrink: a row that holds no more is as wrong as one that is missing.
    stale = {name: "passes in the sentry, too" for name, marks in expected.items()
             if "sometimes" not in marks and native.get(name) == sentry.get(name) == "pass"}
    if all_of_it:
        stale |= {name: "is no test that passes natively" for name in expected if name not in passed}
    for name, why in stale.items():
        print(f"FAIL  {name}: listed in failures.tsv, and {why}")
    rate = 100 * (len(passed) - len(lost)) / max(1, len(passed))
    print(f"{len(passed) - len(lost)} of {len(passed)} tests that pass natively ({rate:.2f} %); "
          f"{len(lost) - len(unlisted)} listed, {len(unlisted)} not listed, {len(stale)} rows to be taken out")
    # Of a handful, what is listed may be more than 2 %.
    sys.exit(1 if unlisted or stale or (rate < 98 and all_of_it) or not passed else 0)


if __name__ == "__main__":
    main()
