#!/bin/bash
# Unmodified programs of Debian packages, each with a piece of real work, in one bundle that
# is run by caisson-native and then by caisson-sentry: what they write and how they end must
# be the same. run.sh RUNTIME-PATH [PART...], whose folder has caisson-sentry, too; a part is
# a file of inside/ or checks/, and PROGRAMS may name them instead. FORM=short (what `make
# conformance` takes) or whole (what `make test-sentry` takes), SCALE the percentage of the work of the whole form.
set -uo pipefail
here=$(cd "$(dirname "$0")" && pwd)
repo=$(cd "$here/../.." && pwd)
native=$(realpath -e "${RUNTIME:-${1:?usage: run.sh RUNTIME-PATH [PART...]}}") || exit 2
export RUNTIME=$native FORM=${FORM:-short}
sentry=$(dirname "$native")/caisson-sentry
if [[ ! -x $sentry ]]; then
    echo "programs: there is no caisson-sentry beside $native: run 'make build'"
    exit 77
fi
roots=$repo/.cache/images/roots
made=$repo/.cache/programs
if [[ -z ${CAISSON_SUITE_SCRATCH:-} ]]; then
    "$repo/scripts/packages.sh" python3 strace || exit 2
    "$here/../images/build.sh" "roots/$FORM" || exit 2
    "$here/build.sh" "$FORM" || exit 2
fi
# shellcheck source=../namespaces.sh
. "$here/../namespaces.sh"
own_namespaces "$@"
shift
# shellcheck disable=SC2086  # words
(($#)) || set -- ${PROGRAMS:-}
# shellcheck source=bundle.sh
. "$here/bundle.sh"

passed=0 failed=0
result() { # status, name, seconds natively and inside, what is wrong
    if [[ $1 == ok ]]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
    printf '%-6s %-14s native %4s s  sentry %4s s  %s\n' "$1" "$2" "$3" "$4" "${5:-}"
}

# A script of inside/ in both; its second line says in which forms, and for how long. What
# differs is done once more, and said: of what only time decides, that is not repeated.
compare() { # file, whether it is the second time
    local name seconds=() label runtime from same=ok
    name=$(basename "$1" | sed 's/\..*//')
    for label in native sentry; do
        runtime=${!label} from=$SECONDS
        run_inside "$label" "$name" "$(limit_of "$1")" bash "/suite/inside/$(basename "$1")"
        seconds+=($((SECONDS - from)))
    done
    [[ -z ${OUTPUTS:-} ]] || cp "$scratch/$name".{native,sentry} "$OUTPUTS"
    cmp -s "$scratch/$name.native" "$scratch/$name.sentry" || same=FAIL
    # Work that fails in both proves nothing.
    [[ $(tail -n 1 "$scratch/$name.native") == "exit 0" ]] || same=FAIL
    [[ $same == ok ]] || diff "$scratch/$name.native" "$scratch/$name.sentry" | head -n "${DIFF_LINES:-40}" | sed 's/^/    /'
    [[ $same == ok ]] || tail -n 3 "$scratch/$name.native" | sed 's/^/    native: /'
    if [[ $same != ok && -z ${2:-} ]]; then
        echo "note   $name: it is done once more"
        compare "$1" again
        return
    fi
    result $same "$name" "${seconds[@]}" "${2:+the second time}"
}

for file in "$here"/inside/*.sh "$here"/checks/*.sh; do
    [[ -e $file ]] || continue
    name=$(basename "$file" .sh)
    if (($#)); then
        [[ " $* " == *" $name "* ]] || continue
    else
        [[ $(forms_of "$file") == *" $FORM "* ]] || continue
    fi
    if [[ $file == */inside/* ]]; then
        compare "$file"
    else
        # shellcheck source=/dev/null
        . "$file"
    fi
done
echo "programs in their $FORM form: $passed passed, $failed failed, $SECONDS s"
((failed == 0 && passed > 0))
