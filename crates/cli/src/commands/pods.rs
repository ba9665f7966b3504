//! `caisson pods`: the daemon's pods.

use std::path::PathBuf;

use caisson_cri::client::{Client, ClientError};
use caisson_cri::v1;
use caisson_node::clock;
use serde::Serialize;
use serde_json::{Value, json};

use crate::context::Context;
use crate::failure::Failure;
use crate::output::listing::{Column, ListArgs};

/// List the daemon's pods
#[derive(Debug, clap::Args)]
#[command(
    after_help = "`caisson serve` is the daemon; `caisson inspect POD` shows all of one pod.\n\
                        Columns: id, name, namespace, state, created, containers, handler, uid, attempt"
)]
pub(crate) struct Pods {
    #[command(flatten)]
    list: ListArgs,
    /// Those that are stopped, too
    #[arg(short, long)]
    all: bool,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Row {
    id: String,
    name: String,
    namespace: String,
    uid: String,
    attempt: u32,
    state: &'static str,
    created: String,
    handler: String,
    /// Running ones, and all.
    containers: (usize, usize),
}

const COLUMNS: [Column<Row>; 9] = [
    Column::<Row>::new("id", "POD ID", |row, show| match show.full {
        true => row.id.clone(),
        false => row.id.chars().take(12).collect(),
    }),
    Column::<Row>::new("name", "NAME", |row, _| row.name.clone()),
    Column::<Row>::new("namespace", "NAMESPACE", |row, _| row.namespace.clone()),
    Column::<Row>::new("state", "STATE", |row, _| row.state.to_owned()),
    Column::<Row>::new("containers", "CONTAINERS", |row, _| {
        format!("{} of {}", row.containers.0, row.containers.1)
    }),
    Column::<Row>::new("created", "CREATED", |row, _| row.created.clone()),
    Column::<Row>::new("handler", "HANDLER", |row, _| row.handler.clone()).on_request(),
    Column::<Row>::new("uid", "UID", |row, _| row.uid.clone()).on_request(),
    Column::<Row>::new("attempt", "ATTEMPT", |row, _| row.attempt.to_string()).on_request(),
];

impl Pods {
    pub(crate) fn run(&self, context: &Context) -> Result<(), Failure> {
        let mut client = Client::connect(&socket(context)).map_err(|error| {
            Failure::from(error).hint("pods are the daemon's: start it with `caisson serve`")
        })?;
        let ready = v1::PodSandboxState::SandboxReady as i32;
        let state = (!self.all).then_some(v1::PodSandboxStateValue { state: ready });
        let pods = client.pods(v1::PodSandboxFilter { state, ..Default::default() })?;
        let containers = client.containers()?;
        let rows: Vec<_> = pods.into_iter().map(|pod| row(pod, &containers)).collect();
        self.list.print(&COLUMNS, &rows, |row, show| {
            if show.full { row.id.clone() } else { row.id.chars().take(12).collect() }
        })
    }
}

fn row(pod: v1::PodSandbox, containers: &[v1::Container]) -> Row {
    let metadata = pod.metadata.unwrap_or_default();
    let running = v1::ContainerState::ContainerRunning as i32;
    let of_pod = || containers.iter().filter(|c| c.pod_sandbox_id == pod.id);
    Row {
        containers: (of_pod().filter(|c| c.state == running).count(), of_pod().count()),
        name: metadata.name,
        namespace: metadata.namespace,
        uid: metadata.uid,
        attempt: metadata.attempt,
        state: match pod.state == v1::PodSandboxState::SandboxReady as i32 {
            true => "ready",
            false => "stopped",
        },
        created: clock::rfc3339(u64::try_from(pod.created_at).unwrap_or(0)),
        handler: pod.runtime_handler,
        id: pod.id,
    }
}

fn socket(context: &Context) -> PathBuf {
    let set = context.settings.serve.socket.clone();
    set.unwrap_or_else(|| context.paths.socket())
}

/// A pod of the daemon, or a container of one, for `caisson inspect`; none if no
/// daemon runs, or it has nothing of that id.
pub(crate) fn find(context: &Context, id: &str) -> Result<Option<Value>, Failure> {
    let mut client = match Client::connect(&socket(context)) {
        Ok(client) => client,
        Err(ClientError::Connect { .. }) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    if let Some(pod) = client.pod(id)? {
        let status = pod.status.unwrap_or_default();
        let metadata = status.metadata.clone().unwrap_or_default();
        let network = status.network.clone().unwrap_or_default();
        let ips =
            std::iter::once(network.ip).chain(network.additional_ips.into_iter().map(|a| a.ip));
        let containers = pod.containers_statuses.iter().map(container);
        return Ok(Some(json!({
            "Id": status.id,
            "Name": metadata.name,
            "Namespace": metadata.namespace,
            "Uid": metadata.uid,
            "Attempt": metadata.attempt,
            "State": status.state().as_str_name(),
            "Created": clock::rfc3339(u64::try_from(status.created_at).unwrap_or(0)),
            "Addresses": ips.filter(|ip| !ip.is_empty()).collect::<Vec<_>>(),
            "Handler": status.runtime_handler,
            "Labels": status.labels,
            "Annotations": status.annotations,
            "Containers": containers.collect::<Vec<_>>(),
            "Info": info(&pod.info),
        })));
    }
    Ok(client.container(id)?.map(|found| {
        let mut shown = container(&found.status.unwrap_or_default());
        if let Value::Object(members) = &mut shown {
            members.insert("Info".to_owned(), info(&found.info));
        }
        shown
    }))
}

fn container(status: &v1::ContainerStatus) -> Value {
    let metadata = status.metadata.clone().unwrap_or_default();
    let time = |nanos: i64| match u64::try_from(nanos) {
        Ok(nanos) if nanos > 0 => Value::from(clock::rfc3339(nanos)),
        _ => Value::Null,
    };
    json!({
        "Id": status.id,
        "Name": metadata.name,
        "Attempt": metadata.attempt,
        "State": status.state().as_str_name(),
        "Created": time(status.created_at),
        "Started": time(status.started_at),
        "Finished": time(status.finished_at),
        "ExitCode": status.exit_code,
        "Reason": status.reason,
        "Message": status.message,
        "Image": status.image_id,
        "LogPath": status.log_path,
    })
}

/// What the daemon says for people: JSON where it is.
fn info(from: &std::collections::BTreeMap<String, String>) -> Value {
    let entry = |(key, text): (&String, &String)| {
        let value = serde_json::from_str(text).unwrap_or_else(|_| Value::from(text.as_str()));
        (key.clone(), value)
    };
    Value::Object(from.iter().map(entry).collect())
}
