//! What is left when a supervisor was killed.

use super::engine::Engine;
use super::pod::PodDir;
use super::step::{Context as _, StepError};
use crate::{ExitRecord, PodConfig};

/// Kills and removes it. False if a supervisor lives.
pub(super) fn collect(
    dir: &PodDir,
    config: &PodConfig,
    engine: &Engine,
) -> Result<bool, StepError> {
    // Held until the end: nobody is to make the pod anew meanwhile.
    let Some(_lock) = dir.lock()? else { return Ok(false) };
    for container in &config.containers {
        let id = container.id.parse().context(|| "shim.json: id")?;
        engine.delete(&id)?;
        if crate::client::exit_record(&dir.path, &container.id).is_none() {
            dir.save_exit(&id, &ExitRecord::lost("the supervisor was killed"))?;
        }
    }
    dir.remove_socket();
    Ok(true)
}
