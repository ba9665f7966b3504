#!/bin/bash
# forms: short whole; seconds: 120
# sqlite3 in each journal mode, two writers at once, a crash in a transaction.
set -eu
exec 2>&1
mkdir /desk && cd /desk
rows=$((SCALE * 1000))
for mode in delete truncate persist memory wal off; do
    sqlite3 "$mode.db" "PRAGMA journal_mode=$mode; CREATE TABLE t(id INTEGER PRIMARY KEY, a TEXT, b INT);" \
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < $rows) INSERT INTO t SELECT i, hex(i * 7919), i % 97 FROM n;" \
        "CREATE INDEX ab ON t(b, a); UPDATE t SET a = a || 'x' WHERE b = 3; DELETE FROM t WHERE b = 5;" \
        "SELECT count(*), sum(b), max(a) FROM t; SELECT b, count(*) FROM t GROUP BY b ORDER BY 2 DESC, 1 LIMIT 3; PRAGMA integrity_check; VACUUM; PRAGMA page_count;"
done
sqlite3 both.db 'PRAGMA journal_mode=wal; CREATE TABLE c(n INT); INSERT INTO c VALUES (0);'
for _ in 1 2 3; do
    for _ in $(seq 1 $((5 + SCALE / 4))); do sqlite3 -cmd '.timeout 60000' both.db 'UPDATE c SET n = n + 1'; done &
done
wait
sqlite3 both.db 'SELECT n FROM c'
mkfifo hold
sqlite3 delete.db <hold & victim=$!
exec 3>hold
echo "BEGIN IMMEDIATE; DELETE FROM t; SELECT 'deleted', count(*) FROM t;" >&3
until [ -e delete.db-journal ]; do sleep 0.05; done
sqlite3 delete.db 'DELETE FROM t' || echo "locked: $?"
sleep 0.3; kill -9 $victim; wait $victim || echo "killed: $?"
sqlite3 delete.db 'SELECT count(*) > 0 FROM t; PRAGMA integrity_check;'
exec 3>&-
sqlite3 wal.db .dump | md5sum; sqlite3 wal.db '.backup copy.db' && cmp <(sqlite3 copy.db .dump) <(sqlite3 wal.db .dump) && echo same
seq 1 1000 | sqlite3 import.db 'CREATE TABLE n(i INT)' '.import /dev/stdin n' 'SELECT sum(i) FROM n'; PRAGMA=mmap sqlite3 wal.db 'PRAGMA mmap_size=268435456; SELECT sum(length(a)) > 0 FROM t'; ls
