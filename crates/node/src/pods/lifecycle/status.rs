//! What a pod or container is doing: from memory alone.

use std::collections::BTreeMap;

use crate::clock::now_nanos;
use crate::metadata::{ContainerOutcome, Phase};
use crate::pods::table::ContainerEntry;
use crate::pods::view::{ContainerStatus, MountStatus, PodStatus};
use crate::pods::{PodError, Pods};
use crate::signals;

impl Pods {
    /// A pod, by its id or the start of one; `verbose` fills its `info`.
    ///
    /// # Errors
    /// [`PodError::NoPod`].
    pub fn pod_status(&self, id: &str, verbose: bool) -> Result<PodStatus, PodError> {
        let pod = self.table().pod(id)?;
        let containers = self.table().containers_of(&pod.id).iter().map(|c| status(c)).collect();
        let summary = pod.summary();
        let live = pod.live();
        let outcome = &live.record.outcome;
        let mut ips: Vec<String> = Vec::new();
        for interface in &outcome.interfaces {
            ips.extend(interface.addresses.iter().map(|address| address.address.to_string()));
        }
        // The main one comes first; most want IPv4.
        ips.sort_by_key(|ip| ip.contains(':'));
        let mut info = BTreeMap::new();
        if verbose {
            let mut add = |key: &str, value: String| info.insert(key.to_owned(), value);
            add("phase", live.record.phase.as_str().to_owned());
            add("directory", self.pod_dir(&pod.id).display().to_string());
            add("hostname", outcome.hostname.clone());
            if let Some(error) = &outcome.error {
                add("error", error.clone());
            }
            if let Some(cgroup) = &outcome.cgroup
                && let Ok(text) = serde_json::to_string(cgroup)
            {
                add("cgroup", text);
            }
            let running: Vec<_> = self
                .operations()
                .into_iter()
                .filter(|operation| operation.key.contains(&pod.id))
                .collect();
            if let Ok(text) = serde_json::to_string(&running) {
                add("operations", text);
            }
        }
        Ok(PodStatus {
            summary,
            ips,
            handler: live.record.document.handler.clone(),
            timestamp: now_nanos(),
            containers,
            info,
        })
    }

    /// A container, by its id or the start of one; `verbose` fills its `info`.
    ///
    /// # Errors
    /// [`PodError::NoContainer`].
    pub fn container_status(&self, id: &str, verbose: bool) -> Result<ContainerStatus, PodError> {
        let container = self.table().container(id)?;
        let mut status = status(&container);
        if verbose {
            let bundle =
                super::create_container::bundle_dir(&self.pod_dir(&container.pod), &container.id);
            status.info.insert("bundle".to_owned(), bundle.display().to_string());
            if let Ok(state) =
                self.live_container(&container.pod, &container.id).and_then(|c| Ok(c.state()?))
                && let Ok(text) = serde_json::to_string(&state)
            {
                status.info.insert("supervisor".to_owned(), text);
            }
        }
        Ok(status)
    }
}

fn status(container: &ContainerEntry) -> ContainerStatus {
    let summary = container.summary();
    let live = container.live();
    let document = &live.record.document;
    let outcome = &live.record.outcome;
    let (reason, message) = match live.record.phase {
        Phase::Exited => reason(outcome),
        _ => (String::new(), String::new()),
    };
    let ended = live.record.phase == Phase::Exited;
    let mounts = live.request.mounts.iter().zip(&document.volume_refs);
    ContainerStatus {
        summary,
        started_at: outcome.started.unwrap_or(0),
        finished_at: outcome.finished.filter(|_| ended).unwrap_or(0),
        exit_code: if ended { i32::from(outcome.exit_code) } else { 0 },
        reason,
        message,
        log_path: document.log_path.clone(),
        mounts: mounts
            .map(|(request, image_ref)| MountStatus {
                request: request.clone(),
                image_ref: image_ref.clone(),
            })
            .collect(),
        resources: live.request.resources.clone(),
        user: Some(document.user.clone()),
        stop_signal: signals::name(document.stop_signal),
        pid: outcome.pid.filter(|_| !ended),
        info: BTreeMap::new(),
    }
}

/// Why a container ended, in one word that the kubelet knows, and in a line.
fn reason(outcome: &ContainerOutcome) -> (String, String) {
    let word = match outcome {
        ContainerOutcome { start_error: Some(_), .. } => "StartError",
        ContainerOutcome { lost: Some(_), .. } => "ContainerStatusUnknown",
        ContainerOutcome { oom_killed: true, exit_code, .. } if *exit_code != 0 => "OOMKilled",
        ContainerOutcome { exit_code: 0, .. } => "Completed",
        _ => "Error",
    };
    let message = outcome.start_error.clone().or_else(|| outcome.lost.clone());
    (word.to_owned(), message.unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons() {
        let of = |exit_code, oom_killed, lost: Option<&str>, start_error: Option<&str>| {
            reason(&ContainerOutcome {
                exit_code,
                oom_killed,
                lost: lost.map(str::to_owned),
                start_error: start_error.map(str::to_owned),
                ..ContainerOutcome::default()
            })
            .0
        };
        assert_eq!(of(0, false, None, None), "Completed");
        assert_eq!(of(1, false, None, None), "Error");
        assert_eq!(of(137, true, None, None), "OOMKilled");
        // A child died, the container did not care.
        assert_eq!(of(0, true, None, None), "Completed");
        assert_eq!(of(137, false, Some("gone"), None), "ContainerStatusUnknown");
        assert_eq!(of(128, false, None, Some("no such program")), "StartError");
    }
}
