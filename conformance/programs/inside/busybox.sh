#!/bin/bash
# forms: short whole; seconds: 60
# Debian's dynamic busybox: its shell and its applets on files of its own making. No package of
# Debian has busybox's own test suite.
set -eu
mkdir /desk && cd /desk
cat >work.sh <<'END'
set -eu
seq 1 5000 >numbers
awk '{ s += $1 } END { print "sum", s }' numbers
sed -n '10,12p;s/^4999$/nearly/p' numbers
grep -c 7 numbers
sort -rn numbers | head -n 3
cut -c1 numbers | sort | uniq -c
md5sum numbers; sha256sum numbers; sha512sum numbers
mkdir -p tree/a/b tree/c
for i in $(seq 1 60); do echo "file $i" >tree/a/b/$i; done
ln -s ../a tree/c/link; ln tree/a/b/1 tree/c/hard
find tree -type f | sort | md5sum; find tree -type l; find tree -name '5*' | sort | xargs cat
tar czf t.tgz tree; tar tzf t.tgz | sort | md5sum
mkdir out; tar xzf t.tgz -C out; diff -r tree out/tree && echo same
gzip -c numbers | gunzip | cmp - numbers && echo gzip
bzip2 -c numbers | bunzip2 | cmp - numbers && echo bzip2
find tree -type f -links 1 | cpio -o -H newc 2>/dev/null >t.cpio; cpio -t <t.cpio 2>/dev/null | sort | md5sum
dd if=numbers bs=100 skip=3 count=2 2>/dev/null | od -c | head -n 3
printf 'one two\nthree\n' | wc; printf 'a\tb\n' | expand -t 4; echo abc | rev; echo x | tr x y
cp -a tree copy; du -s copy >/dev/null; rm -r copy; ls -l tree/a/b | wc -l; stat -c '%a %h %s' tree/c/hard
vi -c ':%s/file/FILE/' -c ':wq' tree/a/b/2 >/dev/null 2>&1 || true
date -u -d @86400 +%F; cal 2 2024; expr 6 '*' 7; bc <<'SUM'
2^64
SUM
(trap 'echo heard' USR1; kill -USR1 $$; :) ; sleep 0.1 & wait $!; echo "wait $?"
ps -o comm,args | grep -c busybox >/dev/null; pidof busybox >/dev/null || true
httpd -p 127.0.0.1:8080 -h /desk; wget -q -O - http://127.0.0.1:8080/numbers | md5sum
echo hello | nc -l -p 9000 >got & until echo there | nc 127.0.0.1 9000 2>/dev/null; do sleep 0.1; done; wait; cat got
mount -t tmpfs tmpfs out 2>/dev/null && umount out; id -u; hostname; uname -s -m
END
mkdir applets && busybox --list | grep -v '^busybox$' | while read -r name; do ln -s /bin/busybox "applets/$name"; done
PATH=/desk/applets exec /bin/busybox sh work.sh
