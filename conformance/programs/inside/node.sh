#!/bin/bash
# forms: whole; seconds: 300
# node: files, streams, workers, children, servers, timers; the tests of an npm package.
set -eu
exec 2>&1
mkdir /desk && cd /desk
cat >work.js <<'END'
const fs = require('fs'), path = require('path'), http = require('http'), net = require('net'), crypto = require('crypto'), zlib = require('zlib'), os = require('os'), assert = require('assert'), cp = require('child_process'), { Worker, isMainThread, parentPort, workerData } = require('worker_threads'), dgram = require('dgram'), { pipeline } = require('stream/promises'), cluster = require('cluster');
if (!isMainThread) { let s = 0; for (let i = 0; i < 3e6; i++) s = (s * 31 + i + workerData) | 0; Atomics.add(new Int32Array(parentPort ? workerData.shared || new SharedArrayBuffer(4) : 0), 0, 1); parentPort.postMessage(s); return; }
if (cluster.isWorker) { http.createServer((q, r) => r.end('worker')).listen(8101, '127.0.0.1'); return; }
(async () => {
  for (let i = 0; i < 300; i++) { fs.mkdirSync(`d/${i % 10}`, { recursive: true }); await fs.promises.writeFile(`d/${i % 10}/${i}`, 'x'.repeat(i)); }
  console.log((await fs.promises.readdir('d', { recursive: true })).length, fs.statSync('d/7/297').size);
  fs.writeFileSync('big', crypto.createHash('sha512').update('x').digest('hex').repeat(40000));
  await pipeline(fs.createReadStream('big'), zlib.createGzip(), fs.createWriteStream('big.gz')); await pipeline(fs.createReadStream('big.gz'), zlib.createGunzip(), fs.createWriteStream('big2')); console.log(fs.readFileSync('big').equals(fs.readFileSync('big2')));
  const sums = await Promise.all([1, 2, 3, 4].map(n => new Promise((ok, no) => { const w = new Worker(__filename, { workerData: n }); w.on('message', ok); w.on('error', no); }))); console.log(sums.join());
  console.log(cp.execSync('echo child; exit 0').toString().trim(), cp.spawnSync('sh', ['-c', 'kill -9 $$']).signal, cp.spawnSync('cat', { input: 'piped' }).stdout.toString());
  const forked = cp.spawn('sh', ['-c', 'read x; echo "got $x"'], { stdio: ['pipe', 'pipe', 'inherit'] }); forked.stdin.end('typed\n'); console.log((await new Promise(ok => forked.stdout.once('data', ok))).toString().trim());
  const server = http.createServer((q, r) => { let n = 0; q.on('data', d => n += d.length); q.on('end', () => r.end(JSON.stringify({ n, url: q.url }))); }).listen(0, '127.0.0.1'); await new Promise(ok => server.once('listening', ok)); const port = server.address().port;
  const post = (n, agent) => new Promise((ok, no) => { const q = http.request({ port, host: '127.0.0.1', method: 'POST', path: '/' + n, agent }, r => { let s = ''; r.on('data', d => s += d); r.on('end', () => ok(s)); }); q.on('error', no); q.end(Buffer.alloc(n * 1000)); });
  console.log((await Promise.all(Array.from({ length: 100 }, (_, i) => post(i)))).join('').length, await post(5000, new http.Agent({ keepAlive: true }))); console.log(await (await fetch(`http://127.0.0.1:${port}/fetch`)).text()); server.closeAllConnections(); server.close();
  const u = dgram.createSocket('udp4'); await new Promise(ok => u.bind(0, '127.0.0.1', ok)); const heard = new Promise(ok => u.once('message', m => ok(m.toString()))); u.send('datagram', u.address().port, '127.0.0.1'); console.log(await heard); u.close();
  const unix = net.createServer(c => c.pipe(c)).listen('sock'); await new Promise(ok => unix.once('listening', ok)); const c = net.connect('sock'); c.write('echo'); console.log((await new Promise(ok => c.once('data', ok))).toString()); c.end(); unix.close();
  const seen = []; const watcher = fs.watch('d', (e, f) => seen.push(f)); await new Promise(ok => setTimeout(ok, 50)); fs.writeFileSync('d/new', ''); for (let i = 0; i < 300 && !seen.includes('new'); i++) await new Promise(ok => setTimeout(ok, 20)); console.log('watched', seen.includes('new')); watcher.close();
  const begin = process.hrtime.bigint(); await new Promise(ok => setTimeout(ok, 50)); console.log(process.hrtime.bigint() - begin >= 49_000_000n, os.platform(), os.cpus().length > 0, os.totalmem() > 0, os.userInfo().username, Object.keys(os.networkInterfaces()).join());
  process.on('SIGUSR2', () => console.log('usr2')); process.kill(process.pid, 'SIGUSR2'); await new Promise(ok => setTimeout(ok, 50)); await require('dns').promises.lookup('localhost').then(a => console.log(a.family > 0));
  console.log(crypto.pbkdf2Sync('a', 'b', 20000, 32, 'sha256').toString('hex'), await new Promise(ok => crypto.scrypt('a', 'b', 32, (e, k) => ok(k.toString('hex')))));
  cluster.fork(); cluster.fork(); let up = 0; await new Promise(ok => cluster.on('listening', () => ++up == 2 && ok())); console.log(await (await fetch('http://127.0.0.1:8101/')).text()); await new Promise(ok => cluster.disconnect(ok)); console.log('disconnected');
})().catch(e => { console.log(e); process.exit(1); });
END
node work.js
node --jitless -e 'console.log([1,2,3].map(x => x * 2).join())'; node -e 'process.exit(5)' || echo "exit $?"; echo 'console.log("piped in")' | node; node -p 'process.version.length > 3'
cat >test.mjs <<'END'
import test from 'node:test'; import assert from 'node:assert';
test('sums', () => assert.equal(1 + 1, 2)); test('waits', async t => { await new Promise(ok => setTimeout(ok, 20)); await t.test('sub', () => assert.ok(true)); });
END
node --test test.mjs | grep -e '^# tests' -e '^# pass' -e '^ℹ tests' -e '^ℹ pass'
cp -r /made/npm npm && cd npm/node_modules/minimist && node ../tape/bin/tape 'test/*.js' | tail -n 6 | grep -v '^$'
