//! What is left when a supervisor was killed.

use super::engine::Engine;
use super::pod::PodDir;
use super::step::{Context as _, StepError};
use crate::{ExitRecord, ShimConfig};

/// Kills and removes it. `None` if a supervisor lives.
pub(super) fn collect(
    dir: &PodDir,
    config: &ShimConfig,
    engine: &Engine,
) -> Result<Option<ExitRecord>, StepError> {
    // Held until the end: nobody is to make the pod anew meanwhile.
    let Some(_lock) = dir.lock()? else { return Ok(None) };
    let id = config.id.parse().context(|| "shim.json: id")?;
    engine.delete(&id)?;
    let record = match dir.exit_record() {
        Some(record) => record,
        None => {
            let record = ExitRecord::lost("the supervisor was killed");
            dir.save_exit(&record)?;
            record
        }
    };
    dir.remove_socket();
    Ok(Some(record))
}
