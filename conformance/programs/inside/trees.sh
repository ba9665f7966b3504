#!/bin/bash
# forms: short whole; seconds: 400; whole: 3000
# find, tar, gzip, sort, xargs and others on a tree of 100,000 files (SCALE percent of it).
set -eu
files=$((1000 * SCALE))
mkdir /desk && cd /desk
mkdir tree
# Directories of 200 files each, three deep.
seq 0 $((files - 1)) | awk '{ d = int($1 / 200); printf "tree/%d/%d/%d\n", d % 10, int(d / 10), $1 }' >list
sed 's|/[^/]*$||' list | sort -u | xargs mkdir -p
awk '{ f = $0; printf "file %d\n%s\n", NR, f >f; close(f) }' list
find tree -type f | wc -l; find tree -type d | wc -l
find tree -type f | LC_ALL=C sort | md5sum
find tree -name '*7' -size -2 -newer list | wc -l || true
find tree -type f -print0 | xargs -0 cat | LC_ALL=C sort -k2n | md5sum
grep -r -l 'file 77$' tree
tar cf t.tar tree; tar tf t.tar | LC_ALL=C sort | md5sum; gzip -1 t.tar; gzip -t t.tar.gz && echo gzip
mkdir out; tar xzf t.tar.gz -C out; diff -r tree out/tree && echo same
du -s --apparent-size --block-size=1 tree >/dev/null; ls -lR tree | awk '/^-/ { s += $5 } END { print s }'
cp -a tree copy; find copy -type f -name '*3' -delete; find copy -type f | wc -l
find copy -type f | head -n 500 | while read -r f; do mv "$f" "$f.x"; done; find copy -name '*.x' | wc -l
chmod -R go-r copy; find copy -perm /044 -type f | wc -l; find tree -type f -printf '%s\n' | sort -n | uniq -c
LC_ALL=C sort -R list | LC_ALL=C sort --parallel=4 -S 1M | cmp - <(LC_ALL=C sort list) && echo sorted
rm -r copy out tree; ls
