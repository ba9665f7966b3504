//! The life of pods and of their containers, one step per file.

mod create_container;
mod list;
mod notes;
mod recover;
mod remove_container;
mod remove_pod;
mod run_pod;
mod start_container;
mod status;
mod stop_container;
mod stop_pod;
mod update;

pub(super) use create_container::bundle_dir;
