#!/bin/bash
# forms: short whole; seconds: 60
# What bash does with processes, pipes, signals, jobs and descriptors.
# shellcheck disable=SC1083,SC2093,SC2164  # that is what is tried
set -u
exec 2>&1
bash -c 'trap "echo exit trap" EXIT; exit 3'; echo "exit $?"
mkdir /desk && cd /desk || exit 1
fib() { local n=$1; ((n < 2)) && echo "$n" && return; echo $(($(fib $((n - 1))) + $(fib $((n - 2))))); }
echo "fib $(fib 9)"
declare -A words; while read -r word; do words[$word]=$((${words[$word]:-0} + 1)); done < <(tr ' ' '\n' <<<"a b a c b a")
for w in "${!words[@]}"; do echo "$w ${words[$w]}"; done | sort
coproc { while read -r line; do echo "<$line>"; done; }
echo to >&"${COPROC[1]}"; read -r back <&"${COPROC[0]}"; echo "$back"; exec {COPROC[1]}>&-; wait "$COPROC_PID"; echo "coproc $?"
for i in {1..20}; do (exit "$i") & pids+=($!); done; for p in "${pids[@]}"; do wait "$p"; printf '%s ' $?; done; echo
sleep 30 & kill -TERM $!; wait $!; echo "term $?"; sleep 30 & kill -KILL $!; wait $! ; echo "kill $?"
trap 'echo usr1' USR1; kill -USR1 $$; (kill -USR1 $$); trap 'echo chld' CHLD; (:) ; /bin/true; trap - CHLD
false | true | (exit 3) | true; echo "${PIPESTATUS[*]}"; set -o pipefail; false | true; echo $?
exec 5<>file; echo one >&5; echo two >&5; exec 5<file; read -r x <&5; read -r y <&5; echo "$x $y"; exec 5<&-
exec {fd}>file; for i in {1..1000}; do echo "$i" >&$fd; done; exec {fd}>&-; wc -l <file; mapfile -t lines <file; echo "${#lines[@]} ${lines[999]}"
cat <<END | tr a-z A-Z
here $((6 * 7)) $(echo sub) `echo tick`
END
diff <(seq 1 5) <(seq 1 6); echo "diff $?"; tee >(wc -l >count) <file | tail -n 1; until [[ -s count ]]; do :; done; cat count
read -t 0.1 -r x < <(sleep 1); echo "read timeout $?"; printf 'a\0b\0' | while IFS= read -r -d '' x; do echo "[$x]"; done
(ulimit -n 64; ulimit -n; for i in {3..80}; do eval "exec $i<file" 2>/dev/null || { echo "no descriptor $i"; break; }; done)
(ulimit -f 1; yes | head -c 100000 >big; echo "fsize $?"; wc -c <big); (ulimit -t 1; timeout 20 bash -c 'while :; do :; done' 2>/dev/null; echo "cpu $?") 2>/dev/null
(ulimit -c 0; bash -c 'kill -SEGV $$'; echo "segv $?"; bash -c 'kill -ABRT $$'; echo "abrt $?")
# A child of bash that was not sleep yet would lose the signal that ends it (on Linux, too).
set -m; sleep 2 & jobs | sed 's/  */ /g'; fg >/dev/null; echo "fg $?"; sleep 20 & until [[ $(</proc/$!/comm) == sleep ]]; do :; done; kill -STOP %%; sleep 0.2; jobs | sed 's/  */ /g'; kill -CONT %%; kill %%; wait %%; echo "job $?"; set +m
[[ $(</proc/self/comm) == cat || $(</proc/$$/comm) == shell.sh || $(</proc/$$/comm) == bash ]] && echo comm; tr '\0' ' ' </proc/$$/cmdline; echo; readlink /proc/$$/exe /proc/$$/cwd
bash -c 'echo $0 $1 $#' zero one two; bash -c 'exec -a other cat /proc/self/cmdline' | tr '\0' ' '; echo; sh -c 'exit 9'; echo $?; /desk; echo $?; none; echo $?; printf '#!/none\n' >s; chmod +x s; ./s; echo $?; : >e; ./e; echo $?; chmod +x e; ./e; echo "empty $?"; printf '#!/bin/cat -n\nself\n' >s; ./s
printf 'echo plain script $#\n' >s; ./s a b; ln -s loop loop; cat loop; mkdir -p a/b/c; cd a/b/c; pwd -P; cd ../..; pwd; rm -r /desk/a; ls; pwd; cd /desk
shopt -s extglob globstar nullglob
touch x{1..5}.txt; echo x@(1|3).txt **/x?.txt none*; select x in one two; do echo "$x $REPLY"; break; done <<<2
printf -v line '%*s' 20 ''; echo "${line// /-}"; echo "${BASH_SOURCE[0]##*/} $LINENO $SHLVL $UID $EUID"; times >/dev/null; umask 027; umask; umask -S; : >u; stat -c %a u
exec 7< <(for i in {1..3000}; do echo "$i"; done); sum=0; while read -r n <&7; do ((sum += n)); done; echo "$sum"; { sleep 0.3; echo late; } | cat; echo $((16#ff)) $((2**40)); exit 0
