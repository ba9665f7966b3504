//! SIGHUP.

use std::path::Path;

use caisson_node::pods::Pods;
use caisson_node::settings::Settings;

use super::notify;
use crate::config::{Config, Live, fixed_changes};
use crate::error::chain;
use crate::log::{self, Level, log};

/// Reads the settings again. What is wrong with them is logged, and the old ones
/// hold.
pub(super) fn reload(pods: &Pods, live: &Live, file: Option<&Path>) {
    notify::reloading();
    match exchange(pods, live, file) {
        Ok(waiting) if waiting.is_empty() => log(Level::Info, "settings reloaded", &[]),
        Ok(waiting) => {
            let keys = waiting.join(", ");
            log(Level::Warn, "settings reloaded; some count after a new start", &[("keys", &keys)]);
        }
        Err(error) => log(Level::Error, "settings not reloaded", &[("error", &error)]),
    }
    notify::ready();
}

fn exchange(pods: &Pods, live: &Live, file: Option<&Path>) -> Result<Vec<&'static str>, String> {
    let settings = Settings::load(file).map_err(|e| chain(&e))?;
    let config = Config::new(settings.clone()).map_err(|e| chain(&e))?;
    let waiting = fixed_changes(&live.now().settings, &settings);
    pods.engine().reload(settings).map_err(|e| chain(&e))?;
    log::set(config.level, config.format);
    live.exchange(config);
    Ok(waiting)
}
