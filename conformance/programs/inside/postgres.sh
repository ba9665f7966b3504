#!/bin/bash
# forms: whole; seconds: 600
# PostgreSQL: initdb, pgbench, parallel queries, a crash, recovery, a dump.
set -eu
exec 2>&1
PATH=/usr/lib/postgresql/15/bin:$PATH
mkdir /desk && chown postgres /desk && cd /desk
as() { su postgres -s /bin/bash -c "PATH=$PATH; cd /desk; $*"; }
as "initdb -D data -E UTF8 --no-locale" | grep -e 'Success' -e 'selecting' | head -n 4
start() { as "pg_ctl -D data -w -t 120 -o '-k /desk -c listen_addresses=127.0.0.1 -p 5433' -l log start" | tail -n 1; }
sql() { psql -h /desk -p 5433 -U postgres -At -c "$1" "${2:-postgres}"; }
start
as "createdb -h /desk -p 5433 bench; pgbench -h /desk -p 5433 -i -q -s $((1 + SCALE / 25)) bench" 2>&1 | grep -o -e '^done' -e 'error.*'
as "pgbench -h 127.0.0.1 -p 5433 -U postgres -c 4 -j 2 -t $((SCALE * 3)) bench" | grep -e processed -e failed
sql 'SELECT sum(tbalance) = sum(delta) FROM (SELECT tbalance FROM pgbench_tellers) t, (SELECT sum(delta) AS delta FROM pgbench_history) h GROUP BY delta' bench | head -n 1
sql 'SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history), (SELECT count(*) FROM pgbench_history)' bench
sql 'SET max_parallel_workers_per_gather = 2; SET min_parallel_table_scan_size = 0; SET parallel_setup_cost = 0; SELECT count(*), sum(aid) FROM pgbench_accounts' bench | tail -n 1
sql "CREATE TABLE j AS SELECT i, jsonb_build_object('n', i) AS d FROM generate_series(1, 20000) i; CREATE INDEX ON j USING gin (d); SELECT count(*) FROM j WHERE d @> '{\"n\": 77}'" | tail -n 1
(sql "BEGIN; LOCK TABLE j; SELECT pg_sleep(1); COMMIT" >/dev/null & sleep 0.3; sql "SET lock_timeout = 100; SELECT count(*) FROM j" || echo "lock: $?"; wait)
(psql -h /desk -p 5433 -U postgres -At -c 'LISTEN c' -c 'SELECT pg_sleep(1)' -c 'SELECT 1' & sleep 0.4; sql 'NOTIFY c'; wait) | sed 's/PID [0-9]*/PID/'
kill -9 "$(head -n 1 data/postmaster.pid)"; sleep 1; pkill -9 postgres || true; rm -f data/postmaster.pid; start
sql 'SELECT count(*) FROM j'
sql 'SELECT (SELECT sum(abalance) FROM pgbench_accounts) = (SELECT sum(delta) FROM pgbench_history)' bench
pg_dump -h /desk -p 5433 -U postgres -t j postgres | grep -v -e '^--' -e restrict | md5sum; sql 'VACUUM FULL ANALYZE' bench
as "pg_ctl -D data -m fast -w stop" | tail -n 1; grep -c PANIC log || true; grep -e FATAL -e 'could not' log | grep -v -e 'starting up' -e 'administrator command' | head -n 3
