//! What the three calls of CRI ask for, checked.

/// Run a program in a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ExecRequest {
    /// The container.
    pub container: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Give it a terminal; then stdout carries all that it writes.
    pub tty: bool,
    /// The client sends input.
    pub stdin: bool,
    /// The client takes standard output.
    pub stdout: bool,
    /// The client takes standard error; not with a terminal.
    pub stderr: bool,
}

/// Join the streams of a container's first process.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AttachRequest {
    /// The container.
    pub container: String,
    /// The process has a terminal.
    pub tty: bool,
    /// The client sends input.
    pub stdin: bool,
    /// The client takes standard output.
    pub stdout: bool,
    /// The client takes standard error; not with a terminal.
    pub stderr: bool,
}

/// Connect to ports inside a pod.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PortForwardRequest {
    /// The pod.
    pub pod: String,
    /// The ports, which only WebSocket's channel protocols need: SPDY names one
    /// with each stream, and kubelet leaves this empty then.
    pub ports: Vec<i32>,
}

/// Why no address is given.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum RequestError {
    /// No container or pod.
    #[error("the request names no {0}")]
    NoTarget(&'static str),
    /// Exec without a command.
    #[error("exec in container {0}: the command is empty")]
    NoCommand(String),
    /// Neither stdin nor stdout nor stderr.
    #[error("container {0}: none of stdin, stdout and stderr is asked for; ask for one at least")]
    NoStreams(String),
    /// A terminal has one output.
    #[error("container {0}: tty and stderr exclude each other: a terminal has one output")]
    TtyWithStderr(String),
    /// Not 1 to 65535.
    #[error("pod {pod}: {port} is no port; ports are 1 to 65535")]
    NoPort {
        /// The pod.
        pod: String,
        /// What was given.
        port: i32,
    },
    /// Clients ask for addresses and don't use them.
    #[error("{0} streaming addresses wait to be used already; try again within a minute")]
    TooMany(usize),
    /// The system has no random numbers.
    #[error("the system gave no random bytes for a token")]
    NoRandomness,
}

fn check_streams(
    container: &str,
    tty: bool,
    [stdin, stdout, stderr]: [bool; 3],
) -> Result<(), RequestError> {
    if container.is_empty() {
        return Err(RequestError::NoTarget("container"));
    }
    if tty && stderr {
        return Err(RequestError::TtyWithStderr(container.to_owned()));
    }
    if !(stdin || stdout || stderr) {
        return Err(RequestError::NoStreams(container.to_owned()));
    }
    Ok(())
}

impl ExecRequest {
    pub(crate) fn check(&self) -> Result<(), RequestError> {
        check_streams(&self.container, self.tty, [self.stdin, self.stdout, self.stderr])?;
        if self.command.is_empty() {
            return Err(RequestError::NoCommand(self.container.clone()));
        }
        Ok(())
    }
}

impl AttachRequest {
    pub(crate) fn check(&self) -> Result<(), RequestError> {
        check_streams(&self.container, self.tty, [self.stdin, self.stdout, self.stderr])
    }
}

impl PortForwardRequest {
    pub(crate) fn check(&self) -> Result<(), RequestError> {
        if self.pod.is_empty() {
            return Err(RequestError::NoTarget("pod"));
        }
        match self.ports.iter().find(|port| !(1..=65535).contains(*port)) {
            Some(port) => Err(RequestError::NoPort { pod: self.pod.clone(), port: *port }),
            None => Ok(()),
        }
    }
}

/// What a token stands for.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    Exec(ExecRequest),
    Attach(AttachRequest),
    PortForward(PortForwardRequest),
}

impl Request {
    /// First part of the address's path.
    pub(crate) fn kind(&self) -> Kind {
        match self {
            Self::Exec(_) => Kind::Exec,
            Self::Attach(_) => Kind::Attach,
            Self::PortForward(_) => Kind::PortForward,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Exec,
    Attach,
    PortForward,
}

impl Kind {
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Exec => "exec",
            Self::Attach => "attach",
            Self::PortForward => "portforward",
        }
    }

    pub(crate) fn from_path(word: &str) -> Option<Self> {
        [Self::Exec, Self::Attach, Self::PortForward].into_iter().find(|kind| kind.path() == word)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exec(tty: bool, stdin: bool, stdout: bool, stderr: bool) -> Result<(), RequestError> {
        let command = vec!["true".to_owned()];
        ExecRequest { container: "c".to_owned(), command, tty, stdin, stdout, stderr }.check()
    }

    #[test]
    fn streams_are_checked() {
        assert_eq!(exec(false, true, true, true), Ok(()));
        assert_eq!(exec(true, true, true, false), Ok(()));
        assert_eq!(exec(true, true, true, true), Err(RequestError::TtyWithStderr("c".to_owned())));
        assert_eq!(exec(false, false, false, false), Err(RequestError::NoStreams("c".to_owned())));
        let nothing = ExecRequest { stdout: true, ..ExecRequest::default() };
        assert_eq!(nothing.check(), Err(RequestError::NoTarget("container")));
        let no_command = ExecRequest { container: "c".to_owned(), ..nothing };
        assert_eq!(no_command.check(), Err(RequestError::NoCommand("c".to_owned())));
    }

    #[test]
    fn ports_are_checked() {
        let with = |port| PortForwardRequest { pod: "p".to_owned(), ports: vec![80, port] }.check();
        assert_eq!(with(65535), Ok(()));
        for port in [0, -1, 65536] {
            assert_eq!(with(port), Err(RequestError::NoPort { pod: "p".to_owned(), port }));
        }
    }
}
