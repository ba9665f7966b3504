#!/bin/bash
# forms: short whole; seconds: 90
# Each of the coreutils that a container can use, on the root file system and on a tmpfs.
set -u
work() {
    mkdir -p "$1" && cd "$1" || exit 1
    seq 1 3000 >n
    for sum in md5sum sha1sum sha224sum sha256sum sha384sum sha512sum b2sum cksum sum; do $sum n; done
    sha256sum n >check; sha256sum -c check
    base32 -w 40 n | head -n 2; base64 n | base64 -d | cmp - n; basenc --base16 n | tail -n 1
    cat -A <(printf 'a\tb\r\n'); tac n | head -n 2; nl n | sed -n 3p; od -An -tx2 n | head -n 1; fmt -w 20 <<<"one two three four five six"
    head -c 20 n; tail -n +2998 n; tail -c 5 n; split -l 1000 n part- && ls part-*; csplit -s n 100 200 && wc -l xx0*
    wc n; sort -R n | sort -n | cmp - n; shuf -i 1-50 | sort -n | md5sum; uniq -c <(printf 'a\na\nb\n'); comm -12 <(seq 5) <(seq 3 8)
    ptx -G <<<"word here" | wc -l; tsort <<<"a b b c"; cut -d1 -f2 n | head -n 12 | tail -n 2; paste -d, <(seq 3) <(seq 4 6); join <(seq 3) <(seq 2 4)
    tr -d 1 <n | head -n 3; expand <<<$'\tx'; unexpand -a <<<"        x"; fold -w 10 <<<"abcdefghijklmnop"; pr -l 20 -h head -D day <(seq 3)
    numfmt --to=iec 1048576; factor 360360 18446744073709551557; seq -f %03g 3 -1 1; expr length hello; printf '%q %x\n' "a b" 255
    mkdir -p d/e/f; install -D -m 640 n i/j/n; stat -c '%n %a %F %h %s' i/j/n d; mkfifo -m 600 p; stat -c '%a %F' p
    ln n hard; ln -s n soft; ln -sr d/e/f rel; readlink soft rel; realpath --relative-to=d soft; link n other; unlink other
    cp -a d dd; cp --reflink=auto n copy; cp -l n l2; cp -s "$PWD/n" s2; cp -u n copy; cp --sparse=always n sp; cp -p i/j/n kept; stat -c '%n %a %h' n copy l2 kept
    mv -n copy n; mv copy moved; mv moved d/; rm -r dd; rmdir -p d/none 2>&1; truncate -s 1M hole; stat -c %s hole; fallocate -l 64K full; stat -c '%s' full
    dd if=n of=o bs=512 count=3 conv=notrunc status=none; dd if=/dev/zero of=o bs=1 seek=5000 count=1 status=none; dd if=n of=o oflag=append conv=notrunc status=none; stat -c %s o; dd if=/dev/zero bs=1k count=100 iflag=fullblock status=none | wc -c
    touch -d '2001-02-03 04:05:06.789 UTC' t; stat -c '%y' t; touch -r t t2; [[ t -nt t2 || t -ot t2 ]] || echo equal; touch -h -d @5 soft; stat -c %Y soft; date -u -r t
    chmod a=rx,u+w t; stat -c %A t; chmod -R g+s d; stat -c %A d d/e; chmod 1777 d; stat -c %a d; chown 12:34 t; chown -h 5:6 soft; stat -c '%u:%g' t soft; chgrp -R 77 d; stat -c %g d/e/f; chmod 4755 t; chown 1:1 t; stat -c %a t
    du -a --apparent-size i | sort; du -s --inodes d; df --output=target . >/dev/null && echo df; ls -lnR --time-style=+ i; ls -1 -S -r | head -n 3; dir -1 i; vdir --time-style=+ i/j | wc -l; ls --color=always soft | od -c | head -n 1; dircolors -p | wc -l
    test -f n && test -L soft && test -p p && test ! -e none && echo tests; [ n -ef hard ] && echo linked; pathchk "$(printf 'x%.0s' {1..300})" 2>&1 | tail -c 20; mktemp -u x.XXXX | wc -c; mktemp -d -p . y.XXXX | wc -c
    shred -n 1 -u o && ls o 2>&1; sync n; sync -f .; tee a b <<<tee | cat - a b; yes y | head -n 2; true; false; echo $?
    timeout 0.2 sleep 5; echo "timeout $?"; { timeout -s KILL 0.2 sleep 5; echo $?; } 2>/dev/null; echo $(($(nice -n 5 nice) - $(nice))); nohup echo nohup 2>/dev/null; env -i A=b env; stdbuf -oL echo line; nproc >/dev/null; sleep 0.01
    whoami; id; id nobody; groups; logname 2>&1; users; who; pwd; hostid | wc -c; uname -s -m -o; arch; tty; stty size 2>&1; printenv SCALE >/dev/null
    chroot / /bin/echo chrooted; chroot --userspec=65534:65534 / /usr/bin/id -u; pinky >/dev/null 2>&1; kill -l 9; kill -0 $$ && echo alive
    getfattr 2>/dev/null; cat n >&- 2>&1; cat <&- 2>&1; echo full >/dev/full; ls /none; cat d; rm d 2>&1; cp n n; mv d d/e 2>&1; ln n hard; mkdir n; rmdir i; chmod 7 none; head -c 3 /dev/zero | od -c
    rm -rf y.*; cd / && find "$1" | sort | md5sum && rm -rf "$1"
}
exec 2>&1
(work /desk)
(work /dev/shm/desk)
