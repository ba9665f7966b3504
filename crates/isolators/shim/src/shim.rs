//! What a shim is asked, each with a limit.

use std::time::{Duration, Instant};

use caisson_cgroup::stats::Stats;
use caisson_containerd::client::{CallError, Connection};
use caisson_containerd::metrics;
use caisson_containerd::start::Endpoint;
use caisson_containerd::task::{
    self, Create, Exec, Exit, ProcessState, Target, of_container, pid_of, pids_of,
};
use caisson_containerd::ttrpc::{Call, code};
use caisson_isolator::SandboxError;
use rustix::process::Signal;

/// For what makes or removes something.
pub(crate) const PATIENCE: Duration = Duration::from_secs(100);
/// For a signal: one that hangs is not the last word.
const KILL_PATIENCE: Duration = Duration::from_secs(5);
/// For a terminal's size: nothing is carried meanwhile.
const RESIZE_PATIENCE: Duration = Duration::from_secs(1);
/// For questions.
pub(crate) const ANSWER_PATIENCE: Duration = Duration::from_secs(20);

/// A call that did not do what it was to.
#[derive(Debug, thiserror::Error)]
#[error("{method} by the shim: {source}")]
pub(crate) struct ShimError {
    method: &'static str,
    source: CallError,
}

impl ShimError {
    /// Whether there is no such container or process (any more).
    pub(crate) fn means_unknown(&self) -> bool {
        self.code() == Some(code::NOT_FOUND) || self.says("process already finished")
    }

    /// Whether the shim is gone.
    pub(crate) fn means_gone(&self) -> bool {
        self.source.means_gone()
    }

    fn code(&self) -> Option<u64> {
        match &self.source {
            CallError::Refused(refusal) => Some(refusal.code),
            _ => None,
        }
    }

    fn says(&self, words: &str) -> bool {
        matches!(&self.source, CallError::Refused(refusal) if refusal.message.contains(words))
    }
}

impl From<ShimError> for SandboxError {
    fn from(error: ShimError) -> Self {
        Self::step(format!("{} by the shim", error.method), error.source)
    }
}

/// A shim that answers.
#[derive(Debug)]
pub(crate) struct Shim {
    connection: Connection,
    service: &'static str,
}

impl Shim {
    pub(crate) fn connect(endpoint: &Endpoint) -> Result<Self, CallError> {
        let connection = Connection::open(&endpoint.address, Instant::now() + ANSWER_PATIENCE)?;
        Ok(Self { connection, service: endpoint.service })
    }

    fn call(
        &mut self,
        method: &'static str,
        payload: Vec<u8>,
        limit: Duration,
    ) -> Result<Vec<u8>, ShimError> {
        let call = self.question(method, payload, Some(limit));
        let answer = self.connection.call(&call, Instant::now() + limit);
        answer.map_err(|source| ShimError { method, source })
    }

    fn question(&self, method: &str, payload: Vec<u8>, limit: Option<Duration>) -> Call {
        Call { service: self.service.to_owned(), method: method.to_owned(), payload, limit }
    }

    /// Makes a container; its first process.
    pub(crate) fn create(&mut self, create: &Create) -> Result<i32, ShimError> {
        let answer = self.call("Create", create.request(), PATIENCE)?;
        pid_of(&answer).map_err(|error| malformed("Create", error))
    }

    /// Adds a program, which is to be started.
    pub(crate) fn add(&mut self, exec: &Exec) -> Result<(), ShimError> {
        self.call("Exec", exec.request(), PATIENCE).map(drop)
    }

    /// Starts a container's own program or an added one; its process.
    pub(crate) fn start(&mut self, target: &Target) -> Result<i32, ShimError> {
        let answer = self.call("Start", target.request(), PATIENCE)?;
        pid_of(&answer).map_err(|error| malformed("Start", error))
    }

    pub(crate) fn delete(&mut self, target: &Target) -> Result<(), ShimError> {
        self.call("Delete", target.request(), PATIENCE).map(drop)
    }

    pub(crate) fn state(&mut self, target: &Target) -> Result<ProcessState, ShimError> {
        let answer = self.call("State", target.request(), ANSWER_PATIENCE)?;
        ProcessState::parse(&answer).map_err(|error| malformed("State", error))
    }

    pub(crate) fn kill(
        &mut self,
        target: &Target,
        signal: i32,
        all: bool,
    ) -> Result<(), ShimError> {
        let signal = u32::try_from(signal).unwrap_or_default();
        self.call("Kill", target.kill(signal, all), KILL_PATIENCE).map(drop)
    }

    /// Kills all of a container and waits for its end, so long.
    pub(crate) fn end(&mut self, target: &Target, patience: Duration) -> Result<(), ShimError> {
        match self.kill(target, Signal::KILL.as_raw(), true) {
            Err(error) if !error.means_unknown() => return Err(error),
            _ => {}
        }
        match self.call("Wait", target.request(), patience) {
            Err(error) if !error.means_unknown() => Err(error),
            _ => Ok(()),
        }
    }

    pub(crate) fn pids(&mut self, id: &str) -> Result<Vec<i32>, ShimError> {
        let answer = self.call("Pids", of_container(id), ANSWER_PATIENCE)?;
        pids_of(&answer).map_err(|error| malformed("Pids", error))
    }

    pub(crate) fn stats(&mut self, id: &str) -> Result<Stats, ShimError> {
        let answer = self.call("Stats", of_container(id), ANSWER_PATIENCE)?;
        metrics::parse(&answer).map_err(|error| malformed("Stats", error))
    }

    pub(crate) fn pause(&mut self, id: &str) -> Result<(), ShimError> {
        self.call("Pause", of_container(id), ANSWER_PATIENCE).map(drop)
    }

    pub(crate) fn resume(&mut self, id: &str) -> Result<(), ShimError> {
        self.call("Resume", of_container(id), ANSWER_PATIENCE).map(drop)
    }

    pub(crate) fn update(&mut self, id: &str, limits: &[u8]) -> Result<(), ShimError> {
        self.call("Update", task::update(id, limits), ANSWER_PATIENCE).map(drop)
    }

    /// The shim's own process, by its word.
    pub(crate) fn process(&mut self, id: &str) -> Result<i32, ShimError> {
        let answer = self.call("Connect", of_container(id), ANSWER_PATIENCE)?;
        pid_of(&answer).map_err(|error| malformed("Connect", error))
    }

    /// Tells it to go, if it has nothing left. It may go before it answers.
    pub(crate) fn shut_down(&mut self, id: &str) -> Result<(), ShimError> {
        match self.call("Shutdown", task::shutdown(id, false), ANSWER_PATIENCE) {
            Err(error) if error.means_gone() => Ok(()),
            other => other.map(drop),
        }
    }

    /// Whether it goes within that time.
    pub(crate) fn goes(&mut self, patience: Duration) -> bool {
        self.connection.await_end(Instant::now() + patience)
    }

    /// Asks for a process's end, and says where the answer comes; see
    /// [`Shim::ended`].
    pub(crate) fn watch(&mut self, target: &Target) -> Result<u32, CallError> {
        let call = self.question("Wait", target.request(), None);
        self.connection.ask(&call, Instant::now() + ANSWER_PATIENCE)
    }

    /// The end of the process of [`Shim::watch`], if it has come.
    pub(crate) fn ended(&mut self, watch: u32) -> Result<Option<Exit>, CallError> {
        let answer = self.connection.answer_to(watch)?;
        Ok(answer.map(|answer| Exit::waited(&answer)).transpose()?)
    }

    /// Sets a terminal's size: rows and columns.
    pub(crate) fn resize(
        &mut self,
        target: &Target,
        (rows, columns): (u16, u16),
    ) -> Result<(), ShimError> {
        self.call("ResizePty", target.resize(rows, columns), RESIZE_PATIENCE).map(drop)
    }

    /// Tells something that needs no answer.
    pub(crate) fn tell(&mut self, method: &str, payload: Vec<u8>) -> Result<(), CallError> {
        let call = self.question(method, payload, Some(ANSWER_PATIENCE));
        self.connection.ask(&call, Instant::now() + ANSWER_PATIENCE).map(drop)
    }

    /// What is readable when the shim has something to say.
    pub(crate) fn socket(&self) -> &Connection {
        &self.connection
    }
}

fn malformed(method: &'static str, error: caisson_containerd::protobuf::Malformed) -> ShimError {
    ShimError { method, source: error.into() }
}
