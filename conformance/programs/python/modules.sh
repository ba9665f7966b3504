#!/bin/bash
# Runs modules of Python's own regression suite, each in a process of its own with a limit of
# SECONDS: modules.sh SECONDS [MODULE...] (all of them if none is named). Leaves /out/MODULE.xml,
# what it printed in /out/MODULE.log, and `MODULE STATUS` in /out/ended.
set -u
limit=$1
shift
mkdir -p /out /desk && cd /desk || exit 1
(($#)) || mapfile -t list < <(python3 -m test --list-tests)
for module in "${list[@]:-$@}"; do
    from=$SECONDS
    timeout -k 10 "$limit" python3 -m test --timeout "$((limit - limit / 6))" --junit-xml "/out/$module.xml" "$module" \
        </dev/null >"/out/$module.log" 2>&1
    echo "$module $? $((SECONDS - from))" | tee -a /out/ended
done
