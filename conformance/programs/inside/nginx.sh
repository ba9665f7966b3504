#!/bin/bash
# forms: short whole; seconds: 120
# nginx: files, ranges, conditions, a proxy to another server of it, a reload under requests.
set -eu
exec 2>&1
mkdir -p /desk/site && cd /desk
for i in $(seq 1 200); do seq "$i" $((i + 400)) >site/$i.txt; done
head -c 3000000 /dev/zero | tr '\0' x >site/large
cat >nginx.conf <<'END'
worker_processes 2; pid /desk/pid; error_log /desk/error.log;
events { worker_connections 256; }
http {
    access_log /desk/access.log; sendfile on; tcp_nopush on; gzip on; gzip_types text/plain; gzip_min_length 100;
    types { text/plain txt; } default_type application/octet-stream;
    server { listen 127.0.0.1:8000; listen [::1]:8000; listen unix:/desk/socket; root /desk/site; autoindex on;
        location /away/ { proxy_pass http://127.0.0.1:8001/; } location /unix/ { proxy_pass http://unix:/desk/socket:/; } location /moved { return 301 /1.txt; } }
    server { listen 127.0.0.1:8001; root /desk/site; limit_rate 0; }
}
END
nginx -t -c /desk/nginx.conf 2>&1 | tail -n 1
nginx -c /desk/nginx.conf
cat >client.py <<'END'
import concurrent.futures, hashlib, http.client, sys
def get(path, host='127.0.0.1', port=8000, **headers):
    c = http.client.HTTPConnection(host, port, timeout=60); c.request('GET', path, headers=headers); r = c.getresponse(); body = r.read(); c.close()
    return r.status, len(body), hashlib.md5(body).hexdigest(), r.getheader('Content-Encoding')
for path in ('/1.txt', '/large', '/away/7.txt', '/unix/9.txt', '/none', '/moved', '/'): print(path, get(path)[0:(2 if path == '/' else 3)][:3 if path != '/' else 1])
print(get('/1.txt', host='::1'), get('/large', Range='bytes=100-199'), get('/1.txt', **{'Accept-Encoding': 'gzip'})[0::3])
kept = http.client.HTTPConnection('127.0.0.1', 8000, timeout=60)
for i in range(1, 101 if len(sys.argv) < 3 else 1): kept.request('GET', f'/{i}.txt'); r = kept.getresponse(); assert r.status == 200 and len(r.read()) > 0
with concurrent.futures.ThreadPoolExecutor(8) as pool:
    print(len(set(pool.map(lambda i: get(f'/{i % 200 + 1}.txt'), range(int(sys.argv[1]))))))
END
python3 client.py $((SCALE * 10 + 200))
# A connection that is kept alive may end with a reload; no request does.
(python3 client.py 400 short | tail -n 1) & sleep 0.2; nginx -c /desk/nginx.conf -s reload 2>/dev/null; wait $!
if command -v wrk >/dev/null; then
    wrk -t 2 -c 20 -d 3 http://127.0.0.1:8000/1.txt | sed -n '/Socket errors\|Non-2xx/p; s/.*requests in.*/requests/p'
    wrk -t 1 -c 10 -d 2 http://127.0.0.1:8000/away/large | sed -n '/Socket errors\|Non-2xx/p; s/.*requests in.*/requests/p'
fi
grep -c 'GET /large' access.log >/dev/null && echo logged; grep -v -e notice -e 'open() "/desk/site/none"' error.log | head -n 3
nginx -c /desk/nginx.conf -s quit 2>/dev/null; for _ in $(seq 300); do [ -e pid ] || break; sleep 0.1; done; [ ! -e pid ] && echo ended
