#!/bin/bash
# forms: short whole; seconds: 180
# redis-server: redis-benchmark, both kinds of persistence, restarts, kill -9, scripts, streams.
set -eu
exec 2>&1
mkdir /desk && cd /desk
start() {
    redis-server --port 6400 --unixsocket /desk/socket --dir /desk --appendonly yes --save '' --daemonize yes --logfile /desk/log >/dev/null
    until redis-cli -p 6400 ping 2>/dev/null | grep -q PONG; do sleep 0.1; done
    until redis-cli -p 6400 info persistence | grep -q '^loading:0'; do sleep 0.1; done
}
stop() { redis-cli -p 6400 shutdown save || true; while [ -e /desk/socket ]; do sleep 0.1; done; }
start
redis-benchmark -p 6400 -q -n $((SCALE * 500)) -c 20 -t set,get,incr,lpush,rpop,sadd,hset,mset | tr '\r' '\n' | sed -n 's/\(requests per second\).*/\1/; s/: [0-9.]* requests/: N requests/p' | sort -u
redis-benchmark -s /desk/socket -q -n $((SCALE * 500)) -P 16 -t set,get | tr '\r' '\n' | sed -n 's/: [0-9.]* requests.*/: done/p' | sort -u
for i in $(seq 1 500); do echo "SET key:$i value-$i"; done | redis-cli -p 6400 | sort | uniq -c
redis-cli -p 6400 eval 'local s = 0; for i = 1, 500 do s = s + #redis.call("GET", "key:" .. i) end; return s' 0
redis-cli -p 6400 xadd stream 1-1 f v; redis-cli -p 6400 zadd z 1 a 2 b; redis-cli -p 6400 zrange z 0 -1 withscores
(redis-cli -p 6400 blpop waited 30 & redis-cli -p 6400 rpush waited thing >/dev/null; wait)
redis-cli -p 6400 bgsave; until redis-cli -p 6400 info persistence | grep -q '^rdb_bgsave_in_progress:0'; do sleep 0.1; done
redis-cli -p 6400 info persistence | grep -e rdb_last_bgsave_status -e aof_last_bgrewrite | tr -d '\r'
redis-cli -p 6400 bgrewriteaof; until redis-cli -p 6400 info persistence | grep -q '^aof_rewrite_in_progress:0'; do sleep 0.1; done
size=$(redis-cli -p 6400 dbsize); stop; start
[ "$size" = "$(redis-cli -p 6400 dbsize)" ] && echo "all keys after a restart"; redis-cli -p 6400 get key:77; redis-cli -p 6400 xrange stream - +
redis-cli -p 6400 set last one; redis-cli -p 6400 config set appendfsync always; redis-cli -p 6400 set last two
kill -9 "$(redis-cli -p 6400 info server | sed -n 's/^process_id:\([0-9]*\).*/\1/p')"; sleep 0.2; rm -f socket
start; redis-cli -p 6400 get last; redis-cli -p 6400 debug sleep 0; redis-cli -p 6400 client list | wc -l; redis-cli -p 6400 flushall; redis-cli -p 6400 dbsize
stop; redis-check-rdb dump.rdb | grep -c 'RDB looks OK'; grep -ci -e 'assertion' -e 'crashed' log || true
