//! A pipe's end or a terminal's master, without a thread that waits for it.

use std::io;
use std::os::fd::OwnedFd;

use rustix::fs::{OFlags, fcntl_getfl, fcntl_setfl};
use rustix::termios::{Winsize, tcsetwinsize};
use tokio::io::unix::AsyncFd;

/// Read and written by whoever has it, several at once.
#[derive(Debug)]
pub(super) struct Descriptor(AsyncFd<OwnedFd>);

impl Descriptor {
    /// Takes the descriptor over. It must be no one else's open file: it does not
    /// block any more.
    pub(super) fn new(fd: OwnedFd) -> io::Result<Self> {
        let flags = fcntl_getfl(&fd)?;
        fcntl_setfl(&fd, flags | OFlags::NONBLOCK)?;
        // What the newer constructor asks of its caller (the descriptor stays
        // open as long as this) is what an OwnedFd does.
        #[allow(deprecated)]
        let fd = AsyncFd::new(fd)?;
        Ok(Self(fd))
    }

    /// Reads what is there; 0 at the end, which a terminal tells by EIO.
    pub(super) async fn read(&self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let mut ready = self.0.readable().await?;
            let read = ready.try_io(|fd| Ok(rustix::io::read(fd, &mut *buffer)?));
            match read {
                Ok(Err(error)) if error.raw_os_error() == Some(EIO) => return Ok(0),
                Ok(result) => return result,
                Err(_would_block) => {}
            }
        }
    }

    /// Writes all of `bytes`.
    pub(super) async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            let mut ready = self.0.writable().await?;
            match ready.try_io(|fd| Ok(rustix::io::write(fd, bytes)?)) {
                Ok(written) => bytes = bytes.get(written?..).unwrap_or_default(),
                Err(_would_block) => {}
            }
        }
        Ok(())
    }

    /// Sets the size of a terminal.
    pub(super) fn resize(&self, rows: u16, columns: u16) -> io::Result<()> {
        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
        Ok(tcsetwinsize(self.0.get_ref(), size)?)
    }
}

/// What a terminal's master answers when nobody has the other side.
const EIO: i32 = rustix::io::Errno::IO.raw_os_error();

#[cfg(test)]
mod tests {
    use super::Descriptor;

    #[tokio::test]
    async fn bytes_go_through_and_end() {
        let (read, write) = rustix::pipe::pipe().unwrap();
        let (read, write) = (Descriptor::new(read).unwrap(), Descriptor::new(write).unwrap());
        // More than a pipe holds.
        let sent = vec![7; 300_000];
        let task = tokio::spawn(async move { write.write_all(&sent).await.unwrap() });
        let (mut got, mut buffer) = (0, [0; 4096]);
        loop {
            match read.read(&mut buffer).await.unwrap() {
                0 => break,
                count => got += count,
            }
        }
        task.await.unwrap();
        assert_eq!(got, 300_000);
    }
}
