//! A backend whose programs and ports are made for tests.

use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use caisson_streaming::{
    AttachRequest, BackendError, ExecRequest, ExitCode, PortStream, ProcessIo, StreamBackend,
};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

/// Runs programs by name; see [`Programs::exec`].
#[derive(Debug, Default)]
pub(crate) struct Programs {
    /// Programs and forwarded connections that run now.
    pub(crate) running: AtomicUsize,
    /// Bytes that `endless` got rid of.
    pub(crate) written: AtomicUsize,
}

/// Counts one more while it is there.
struct Running<'p>(&'p AtomicUsize);

impl<'p> Running<'p> {
    fn new(counter: &'p AtomicUsize) -> Self {
        counter.fetch_add(1, Ordering::SeqCst);
        Self(counter)
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}

/// The byte at a position of what `yield` writes.
fn pattern(position: usize) -> u8 {
    u8::try_from((position ^ (position >> 8) ^ (position >> 16)) & 0xff).unwrap_or(0)
}

fn hex(digest: &[u8]) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

async fn sum(mut input: impl AsyncReadExt + Unpin) -> io::Result<String> {
    let mut context = ring::digest::Context::new(&ring::digest::SHA256);
    let mut buffer = vec![0; 64 * 1024];
    loop {
        let read = input.read(&mut buffer).await?;
        if read == 0 {
            return Ok(hex(context.finish().as_ref()));
        }
        context.update(&buffer[..read]);
    }
}

fn number(command: &[String], at: usize) -> usize {
    command.get(at).and_then(|word| word.parse().ok()).unwrap_or(0)
}

impl Programs {
    async fn run(&self, command: &[String], io: ProcessIo) -> io::Result<i32> {
        let ProcessIo { stdin, stdout, stderr, resize } = io;
        let missing = || io::Error::other("a stream is missing");
        match command.first().map(String::as_str).unwrap_or_default() {
            "cat" => {
                let (mut stdin, mut stdout) =
                    (stdin.ok_or_else(missing)?, stdout.ok_or_else(missing)?);
                tokio::io::copy(&mut stdin, &mut stdout).await?;
            }
            // Writes the sum of its input when that ends.
            "sum" => {
                let sum = sum(stdin.ok_or_else(missing)?).await?;
                stdout.ok_or_else(missing)?.write_all(sum.as_bytes()).await?;
            }
            // yield BYTES: writes the pattern, and its sum to stderr.
            "yield" => {
                let mut context = ring::digest::Context::new(&ring::digest::SHA256);
                let mut stdout = stdout.ok_or_else(missing)?;
                let (mut position, end) = (0, number(command, 1));
                while position < end {
                    let chunk: Vec<u8> =
                        (position..end.min(position + 50_000)).map(pattern).collect();
                    context.update(&chunk);
                    stdout.write_all(&chunk).await?;
                    position += chunk.len();
                }
                if let Some(mut stderr) = stderr {
                    stderr.write_all(hex(context.finish().as_ref()).as_bytes()).await?;
                }
            }
            "endless" => {
                let mut stdout = stdout.ok_or_else(missing)?;
                loop {
                    stdout.write_all(&[b'x'; 1000]).await?;
                    self.written.fetch_add(1000, Ordering::SeqCst);
                }
            }
            // The same, and takes all that comes.
            "both-ways" => {
                let mut stdin = stdin.ok_or_else(missing)?;
                let mut stdout = stdout.ok_or_else(missing)?;
                let takes = async { tokio::io::copy(&mut stdin, &mut tokio::io::sink()).await };
                let writes = async { while stdout.write_all(&[b'x'; 1000]).await.is_ok() {} };
                let _ = tokio::join!(takes, writes);
            }
            // Ends when a write has to wait.
            "fill" => {
                let mut stdout = stdout.ok_or_else(missing)?;
                let patience = Duration::from_millis(200);
                while tokio::time::timeout(patience, stdout.write_all(&[b'x'; 1000])).await.is_ok()
                {
                }
            }
            "both" => {
                stdout.ok_or_else(missing)?.write_all(b"to stdout").await?;
                stderr.ok_or_else(missing)?.write_all(b"to stderr").await?;
            }
            // exit CODE
            "exit" => return Ok(i32::try_from(number(command, 1)).unwrap_or(255)),
            "sleep" => tokio::time::sleep(Duration::from_secs(3600)).await,
            // size COUNT: writes so many window sizes.
            "size" => {
                let (mut stdout, mut resize) =
                    (stdout.ok_or_else(missing)?, resize.ok_or_else(missing)?);
                for _ in 0..number(command, 1) {
                    let Some(size) = resize.next().await else { break };
                    let text = format!("{}x{}\n", size.width, size.height);
                    stdout.write_all(text.as_bytes()).await?;
                }
            }
            other => return Err(io::Error::other(format!("there is no program {other}"))),
        }
        Ok(0)
    }
}

impl StreamBackend for Programs {
    async fn exec(&self, request: ExecRequest, io: ProcessIo) -> Result<ExitCode, BackendError> {
        let _running = Running::new(&self.running);
        let ended = self.run(&request.command, io).await;
        ended.map(ExitCode).map_err(|error| BackendError(error.to_string()))
    }

    /// The container's name is its command.
    async fn attach(&self, request: AttachRequest, io: ProcessIo) -> Result<(), BackendError> {
        let _running = Running::new(&self.running);
        let command: Vec<String> = request.container.split(' ').map(str::to_owned).collect();
        let ended = self.run(&command, io).await;
        ended.map(|_| ()).map_err(|error| BackendError(error.to_string()))
    }

    async fn port_forward(&self, pod: &str, port: u16) -> Result<PortStream, BackendError> {
        if !matches!(port, 7 | 9 | 13 | 19) {
            return Err(BackendError(format!("nothing listens on port {port} of {pod}")));
        }
        let (ours, theirs) = duplex(64 * 1024);
        // Ends with the connection.
        tokio::spawn(serve_port(port, theirs));
        Ok(Box::new(ours))
    }
}

/// 7: echo; 9: takes and says nothing; 13: says hello and hangs up; 19: writes
/// the sum of what it got when that ends.
async fn serve_port(port: u16, mut stream: DuplexStream) {
    let served = match port {
        7 => {
            let (mut read, mut write) = tokio::io::split(stream);
            tokio::io::copy(&mut read, &mut write).await.map(|_| ())
        }
        9 => tokio::io::copy(&mut stream, &mut tokio::io::sink()).await.map(|_| ()),
        13 => stream.write_all(b"hello").await,
        _ => match sum(&mut stream).await {
            Ok(sum) => stream.write_all(sum.as_bytes()).await,
            Err(error) => Err(error),
        },
    };
    // The other side may be gone.
    let _ = served;
}
