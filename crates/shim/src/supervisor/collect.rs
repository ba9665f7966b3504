//! What is left when a supervisor was killed.

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
