# shellcheck shell=bash disable=SC2086,SC2046,SC2206,SC2154  # no blanks in paths; variables of others
# The project's own test programs on this hierarchy. Sourced. A test is one
# check; lines that say what was not tested are passed on.
mkdir -p "$(</payload/tests/runtime-path)"
rmdir "$(</payload/tests/runtime-path)"
ln -s $runtime "$(</payload/tests/runtime-path)"

program() { # name [arguments...]
    local name=$1 rc=0 line word
    shift
    (($# == 0)) || say "# $name: run with $*"
    RUST_BACKTRACE=0 timeout 300 "/payload/tests/$name" --test-threads=2 "$@" >$scratch/$name.out 2>&1 || rc=$?
    while read -r line; do
        case $line in
            "test result"*) ;;
            test\ *" ... "*)
                word=${line##* ... }
                line=${line#test }
                case $word in
                    ok) pass "$name: ${line%% ... *}" ;;
                    ignored* | NOT*) say "# $name: ${line%% ... *}: $word" ;;
                    *) fail "$name: ${line%% ... *}" "$(grep -F -A12 -e "---- ${line%% ... *} stdout" $scratch/$name.out)" ;;
                esac
                ;;
            *"not tested"* | *"NOT TESTED"*) say "# $name: $line" ;;
        esac
    done < <(grep -v '^$' $scratch/$name.out)
    ((rc == 0)) || fail "$name" "status $rc: $(tail -n 8 $scratch/$name.out)"
}
while read -r name arguments; do
    [[ -n $name ]] || continue
    # shellcheck disable=SC2086  # several arguments
    program "$name" $arguments
done </payload/tests/list
