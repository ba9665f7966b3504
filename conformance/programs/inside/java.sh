#!/bin/bash
# forms: whole; seconds: 300
# Java: a program compiled and run, a small HTTP server with a pool of threads, NIO, collectors.
set -eu
exec 2>&1
mkdir /desk && cd /desk
cat >Work.java <<'END'
import com.sun.net.httpserver.*; import java.io.*; import java.net.*; import java.net.http.*; import java.nio.*; import java.nio.channels.*; import java.nio.file.*; import java.util.*; import java.util.concurrent.*; import java.util.concurrent.atomic.*; import java.util.stream.*;
public class Work {
    public static void main(String[] words) throws Exception {
        var server = HttpServer.create(new InetSocketAddress("127.0.0.1", 0), 50); var pool = Executors.newFixedThreadPool(8); server.setExecutor(pool);
        server.createContext("/", x -> { byte[] body = x.getRequestBody().readAllBytes(); byte[] answer = (x.getRequestURI() + " " + body.length).getBytes(); x.sendResponseHeaders(200, answer.length); x.getResponseBody().write(answer); x.close(); }); server.start();
        var client = HttpClient.newHttpClient(); var uri = "http://127.0.0.1:" + server.getAddress().getPort() + "/";
        var answers = IntStream.range(0, Integer.parseInt(words[0])).mapToObj(i -> client.sendAsync(HttpRequest.newBuilder(URI.create(uri + i)).POST(HttpRequest.BodyPublishers.ofByteArray(new byte[i * 10])).build(), HttpResponse.BodyHandlers.ofString())).collect(Collectors.toList());
        int length = 0; for (var a : answers) length += a.get().body().length(); System.out.println("answers " + length); server.stop(0); pool.shutdown();
        System.out.println(IntStream.range(0, 2_000_000).parallel().mapToLong(i -> (long) i * i % 7).sum());
        var garbage = new ArrayList<byte[]>(); for (int i = 0; i < 20_000; i++) { garbage.add(new byte[10_000]); if (garbage.size() > 1000) garbage.clear(); } System.gc(); System.out.println("collected");
        Path f = Path.of("file"); Files.writeString(f, "line\n".repeat(10_000)); try (var c = FileChannel.open(f, StandardOpenOption.READ, StandardOpenOption.WRITE)) { var m = c.map(FileChannel.MapMode.READ_WRITE, 0, c.size()); m.put(0, (byte) 'L'); m.force(); System.out.println(c.lock().isValid() + " " + Files.readAllLines(f).get(0)); }
        var p = new ProcessBuilder("sh", "-c", "read x; echo got $x; exit 3").start(); p.getOutputStream().write("typed\n".getBytes()); p.getOutputStream().close(); System.out.println(new String(p.getInputStream().readAllBytes()).trim() + " " + p.waitFor());
        var selector = Selector.open(); var listening = ServerSocketChannel.open().bind(new InetSocketAddress("127.0.0.1", 0)); listening.configureBlocking(false); listening.register(selector, SelectionKey.OP_ACCEPT);
        var peer = new Thread(() -> { try (var s = new Socket("127.0.0.1", ((InetSocketAddress) listening.getLocalAddress()).getPort())) { s.getOutputStream().write(new byte[100_000]); } catch (IOException e) { e.printStackTrace(); } }); peer.start();
        int got = 0; var b = ByteBuffer.allocate(4096); loop: while (true) { selector.select(); for (var k : selector.selectedKeys()) { if (k.isAcceptable()) { var s = listening.accept(); s.configureBlocking(false); s.register(selector, SelectionKey.OP_READ); } else { b.clear(); int n = ((SocketChannel) k.channel()).read(b); if (n < 0) break loop; got += n; } } selector.selectedKeys().clear(); } System.out.println("nio " + got);
        var count = new AtomicInteger(); var latch = new CountDownLatch(200); for (int i = 0; i < 200; i++) new Thread(() -> { synchronized (count) { count.incrementAndGet(); } latch.countDown(); }).start(); latch.await(); System.out.println("threads " + count);
        var timer = new ScheduledThreadPoolExecutor(1); System.out.println(timer.schedule(() -> "scheduled", 50, TimeUnit.MILLISECONDS).get()); timer.shutdown(); System.out.println(System.getProperty("os.name") + " " + Runtime.getRuntime().availableProcessors()); 
        Runtime.getRuntime().addShutdownHook(new Thread(() -> System.out.println("hook"))); try { Object[] all = new Object[1000]; for (int i = 0; i < 1000; i++) all[i] = new long[10_000_000]; } catch (OutOfMemoryError e) { System.out.println("out of memory"); } System.exit(4);
    }
}
END
javac -d classes Work.java
for collector in SerialGC ParallelGC G1GC; do java -XX:+Use$collector -Xmx256m -cp classes Work $((SCALE + 50)) || echo "exit $?"; done
java -Xint -Xmx64m -cp classes Work 20 || echo "exit $?"
printf 'System.out.println(6 * 7)\n/exit\n' | jshell -s - 2>/dev/null | head -n 1; jar cf w.jar -C classes . && jar tf w.jar | sort
