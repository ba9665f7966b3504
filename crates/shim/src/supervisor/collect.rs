//! What is left when a supervisor was killed.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use caisson_isolator::ContainerId;

use super::engine::Engine;
use super::pod::PodDir;
use super::step::{StepError, warn};
use crate::ExitRecord;

/// Kills and removes it. False if a supervisor lives.
pub(super) fn collect(dir: &PodDir, engine: &Engine) -> Result<bool, StepError> {
    // Held until the end: nobody is to make the pod anew meanwhile.
    let Some(_lock) = dir.lock()? else { return Ok(false) };
    let mut worst = Ok(true);
    for id in dir.remembered()? {
        // One that can't be removed must not save the others.
        if let Err(error) = one(dir, engine, &id) {
            warn(&error);
            worst = Err(error);
        }
    }
    dir.remove_socket();
    worst
}

fn one(dir: &PodDir, engine: &Engine, id: &ContainerId) -> Result<(), StepError> {
    engine.delete(id)?;
    match crate::client::exit_record(&dir.path, id.as_str()) {
        Some(_) => Ok(()),
        None => dir.save_exit(id, &ExitRecord::lost("the supervisor was killed")),
    }
}

/// How long containerd may take to ask what became of the containers of a
/// supervisor that was killed. It asks at once, and for each once, or never: not
/// about one whose bundle was removed meanwhile.
const ASKING: Duration = Duration::from_secs(10);
const PAUSE: Duration = Duration::from_millis(50);

/// Waits until containerd has asked, and removes the pod's directory if nobody
/// else has.
pub(super) fn remove_when_asked(dir: &PodDir) -> Result<(), StepError> {
    let end = Instant::now() + ASKING;
    while Instant::now() < end {
        if !dir.is_there() {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
    match dir.lock()? {
        Some(_lock) => dir.remove(),
        // Another collects: he asks.
        None => Ok(()),
    }
}

/// Removes the directory of a pod whose containers are all forgotten, unless a
/// supervisor lives in it. Whoever collects there meanwhile is waited for, until `end`.
pub(crate) fn remove_forgotten(dir: PathBuf, end: Instant) {
    if let Err(error) = remove_if(dir, end, |dir| Ok(dir.remembered()?.is_empty())) {
        warn(&error);
    }
}

/// The same of a pod of which all was collected, forgotten or not.
///
/// # Errors
/// What can't be removed, and why.
pub(crate) fn remove_collected(dir: PathBuf, end: Instant) -> Result<(), String> {
    remove_if(dir, end, |_| Ok(true)).map_err(|error| error.to_string())
}

fn remove_if(
    dir: PathBuf,
    end: Instant,
    wanted: impl Fn(&PodDir) -> Result<bool, StepError>,
) -> Result<(), StepError> {
    let dir = PodDir::open(dir)?;
    loop {
        if let Some(_lock) = dir.lock()? {
            return if wanted(&dir)? { dir.remove() } else { Ok(()) };
        }
        if Instant::now() >= end || !dir.is_there() {
            return Ok(());
        }
        std::thread::sleep(PAUSE);
    }
}
