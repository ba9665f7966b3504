# bash completion of caisson-native and caisson-sentry. Everything comes from the program itself:
# its commands and flags from --help, ids from `list`.
_caisson_runtime() {
    local program=${COMP_WORDS[0]} word=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
    local root=() command='' i
    for ((i = 1; i < COMP_CWORD; i++)); do
        case ${COMP_WORDS[i]} in
            --root) root=(--root "${COMP_WORDS[++i]}") ;;
            --log | --log-format | --rootless) ((i++)) ;;
            -*) ;;
            *) command=${COMP_WORDS[i]} && break ;;
        esac
    done
    local help
    case $previous in
        --bundle | -b) mapfile -t COMPREPLY < <(compgen -d -- "$word") && return ;;
        --root | --log | --pid-file | --console-socket | --process | -p)
            mapfile -t COMPREPLY < <(compgen -f -- "$word") && return
            ;;
    esac
    # shellcheck disable=SC2086  # the command is one word or none
    help=$("$program" $command --help 2>/dev/null)
    if [[ $word == -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W "$(grep -o -- '--[a-z-]*' <<<"$help" | sort -u)" -- "$word")
    elif [[ -z $command ]]; then
        local commands
        commands=$(sed -n '/^COMMANDS:/,/^$/s/^   \([a-z]*\) .*/\1/p' <<<"$help")
        mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$word")
    else
        mapfile -t COMPREPLY < <(compgen -W "$("$program" "${root[@]}" list --quiet 2>/dev/null)" -- "$word")
    fi
}
complete -F _caisson_runtime caisson-native caisson-sentry
