//! What pods and containers use. Counters are read from cgroups directly, not
//! asked of supervisors.

mod convert;
mod facts;
mod files;
pub(crate) mod interfaces;
mod metric_table;
mod metrics;
mod samples;
mod stats;

pub(super) use files::Files;
pub(super) use samples::Samples;
