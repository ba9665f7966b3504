//! RuntimeService: pods and containers, for a kubelet.

mod checkpoint;
mod events;
mod exec;
mod node;
mod pod_cidr;
mod service;

pub(crate) use service::Runtime;
