# shellcheck shell=bash
# forms: short whole; seconds: 900
# Python's own regression suite, test by test; what is known to fail is in python/failures.tsv.
# MODULES names some; the short form takes a handful.
: "${here:?}" "${scratch:?}"
# Runs `modules` in both, and compares: `said` is what is to be said of it.
python_run() {
    local label from
    # Side by side: most of these tests wait.
    for label in native sentry; do
        from=$SECONDS
        (
            KEEP=out run_inside $label python "$([[ $FORM == whole ]] && echo 14000 || echo 300)" \
                bash /suite/python/modules.sh $limit "${modules[@]}"
            echo $((SECONDS - from)) >"$scratch/python.$label.seconds"
        ) &
    done
    wait
    seconds=("$(<"$scratch/python.native.seconds")" "$(<"$scratch/python.sentry.seconds")")
    said=$(python3 "$here/python/compare.py" "$scratch/kept.native" "$scratch/kept.sentry" "$here/python/failures.tsv")
}
python_suite() {
    local modules limit=600 seconds=() said
    case $FORM in
        short) modules=(test_fcntl test_mmap test_select test_tempfile test_posix test_os test_pty test_resource test_shutil test_time) ;;
        whole) modules=() ;;
    esac
    # shellcheck disable=SC2206  # words
    [[ -z ${MODULES:-} ]] || modules=($MODULES)
    if ! python_run; then
        sed '$d; s/^/    /' <<<"$said"
        # A test that only time decides does not fail twice.
        mapfile -t modules < <(sed -n 's/^FAIL  \(test\.\)\?\(test_[a-z0-9_]*\).*/\2/p' <<<"$said" | sort -u)
        echo "note   python: $(tail -n 1 <<<"$said"), in ${seconds[*]} s; once more: ${modules[*]}"
        if ((${#modules[@]} == 0)) || ! python_run; then
            result FAIL python "${seconds[@]}" "$(tail -n 1 <<<"$said")"
            sed '$d; s/^/    /' <<<"$said"
            return
        fi
    fi
    result ok python "${seconds[@]}" "$(tail -n 1 <<<"$said")"
}
python_suite
