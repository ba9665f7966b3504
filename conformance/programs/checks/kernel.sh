# shellcheck shell=bash
# forms: short whole; seconds: 60
# Inside is another kernel than the host's, and it says so.
: "${scratch:?}"
kernel_check() {
    local from=$SECONDS said wrong=
    run_inside native kernel 60 sh -c 'uname -r'
    run_inside sentry kernel 60 sh -c 'uname -r; dmesg | head -n 5; cat /proc/version'
    said=$(head -n 1 "$scratch/kernel.sentry")
    [[ $(head -n 1 "$scratch/kernel.native") == "$(uname -r)" ]] || wrong+="natively it is not the host's; "
    [[ $said == *-caisson && $said != "$(uname -r)" ]] || wrong+="uname -r says $said; "
    grep -q "^\[.*Linux version $said" "$scratch/kernel.sentry" || wrong+="dmesg does not tell of $said; "
    grep -q "^Linux version $said" "$scratch/kernel.sentry" || wrong+="/proc/version does not tell of $said; "
    [[ $(tail -n 1 "$scratch/kernel.sentry") == "exit 0" ]] || wrong+="$(tail -n 1 "$scratch/kernel.sentry"); "
    result "$([[ -z $wrong ]] && echo ok || echo FAIL)" kernel 0 $((SECONDS - from)) "${wrong:-inside it is $said}"
}
kernel_check
