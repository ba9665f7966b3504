#!/usr/bin/env python3
"""Compares two runs of Python's regression suite.

compare.py NATIVE SENTRY EXPECTED
    prints each test that passed natively and not in the sentry and is not listed in
    EXPECTED (lines of: test, tab, reason), then one line of figures; exits 1 if there is
    such a test, or if, of the whole suite, less than 98 % of what passed natively did.
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
    expected = dict(rows)
    passed = [name for name, became in native.items() if became == "pass"]
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
    rate = 100 * (len(passed) - len(lost)) / max(1, len(passed))
    print(f"{len(passed) - len(lost)} of {len(passed)} tests that pass natively ({rate:.2f} %); "
          f"{len(lost) - len(unlisted)} listed, {len(unlisted)} not listed")
    # Of a handful, what is listed may be more than 2 %.
    sys.exit(1 if unlisted or (rate < 98 and len(passed) > 5000) or not passed else 0)


if __name__ == "__main__":
    main()
