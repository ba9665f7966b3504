#!/usr/bin/env python3
"""Prints what proto/cri.proto and its imports say, as `cricontract facts` prints
what k8s.io/cri-api says: fields, values of enumerations, calls. Reads the files
as they are written, one declaration a line."""

import pathlib
import re
import sys

lines = []
for path in sorted(pathlib.Path(sys.argv[1]).rglob("*.proto")):
    text = re.sub(r"//[^\n]*", "", path.read_text())
    text = re.sub(r"\)\s+returns\s+\(", ") returns (", text)
    scope = []
    for line in map(str.strip, text.splitlines()):
        if opened := re.fullmatch(r"(message|enum|service) (\w+) \{(\})?", line):
            if not opened[3]:
                scope.append(opened.groups()[:2])
        elif line == "}":
            scope.pop()
        elif call := re.fullmatch(r"rpc (\w+)\((\w+)\) returns \((stream )?(\w+)\);", line):
            streams = "true" if call[3] else "false"
            lines.append(f"{scope[-1][1]}.{call[1]}\t{call[2]}\t{call[4]}\t{streams}")
        elif scope and scope[-1][0] == "enum":
            name, number = re.fullmatch(r"(\w+) = (\d+);", line).groups()
            lines.append(f"{'.'.join(s[1] for s in scope)}.{name}\t{number}\tenum")
        elif scope and line:
            field = r"((?:repeated )?(?:map<\w+, \w+>|\w+)) (\w+) = (\d+)(?: \[.*\])?;"
            kind, name, number = re.fullmatch(field, line).groups()
            lines.append(f"{scope[-1][1]}.{name}\t{number}\t{kind}")
print("\n".join(sorted(lines)))
