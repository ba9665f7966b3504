//! Starting a shim, as containerd does.

use std::path::Path;
use std::time::Duration;

use caisson_containerd::info;
use caisson_containerd::start::{Bootstrap, Endpoint};
use caisson_foreign::process::{Identity, own_pid};
use caisson_foreign::program::{Call, Ended, Io, NoWatch};
use caisson_foreign::step::Context as _;
use caisson_isolator::{ContainerId, SandboxError};
use caisson_runtime_spec::features::Features;
use caisson_sys::process_stat::ProcessStat;

use crate::Settings;
use crate::keeper::Keeper;
use crate::pod::{EVENTS, LOG, Located, Pod};
use crate::shim::{ANSWER_PATIENCE, Shim};
use crate::state::StateDir;

/// How long the program may take that starts a shim, or cleans up after one.
const PATIENCE: Duration = Duration::from_secs(60);
/// So much of what it says is told.
const LONGEST_WORDS: usize = 4096;

/// The pod's shim; it is started for the container in `bundle` if there is none.
pub(crate) fn ensure(
    settings: &Settings,
    pod: &Pod,
    id: &ContainerId,
    bundle: &StateDir,
) -> Result<Shim, SandboxError> {
    if let Some(known) = pod.located()? {
        match Shim::connect(&known.endpoint) {
            Ok(shim) => return Ok(shim),
            Err(error) if error.means_gone() => pod.forget(),
            Err(error) => return Err(error).context(|| "connect to the pod's shim"),
        }
    }
    let keeper = Keeper::post(bundle, &pod.path(EVENTS), &pod.path(LOG))?;
    let events = pod.path(EVENTS).to_string_lossy().into_owned();
    let publisher = settings.publisher.to_string_lossy().into_owned();
    let told = Bootstrap {
        id: id.as_str(),
        namespace: &settings.namespace,
        address: &settings.address,
        events: &events,
        publisher: &publisher,
        options: &settings.options,
    };
    let start = |input: &[u8]| run(settings, id, bundle.path(), &events, "start", input);
    // Most shims know their options only, and refuse all else. Those from
    // containerd 2.4 on refuse these.
    let ended = start(&settings.options).or_else(|first| {
        let again = start(&told.message());
        again.map_err(|second| two_reasons(&first, &second))
    })?;
    let step = || format!("start a shim with {}", settings.program.display());
    let endpoint = Endpoint::parse(&ended.stdout).context(step)?;
    // From here it is known to whoever cleans up.
    let posted = keeper.process;
    pod.note(&Located { endpoint: endpoint.clone(), process: None, keeper: posted })?;
    keeper.watch(&endpoint)?;
    let mut shim = Shim::connect(&endpoint).context(step)?;
    // Shims that answer only for containers that they have say nothing yet.
    let process = shim.process(id.as_str()).ok().and_then(own_descendant);
    pod.note(&Located { endpoint, process, keeper: posted })?;
    Ok(shim)
}

fn two_reasons(first: &SandboxError, second: &SandboxError) -> SandboxError {
    SandboxError::step(first.to_string(), format!("and told as containerd 2.4 does: {second}"))
}

/// Notes the shim's process, once it has a container that it can be asked by.
pub(crate) fn note_process(pod: &Pod, shim: &mut Shim, id: &ContainerId) {
    let Ok(Some(mut known)) = pod.located() else { return };
    if known.process.is_none() {
        known.process = shim.process(id.as_str()).ok().and_then(own_descendant);
        if known.process.is_some() {
            // Without it a shim that hangs is not killed, and that is told.
            let _ = pod.note(&known);
        }
    }
}

/// Has the program clean up after a shim that is gone.
pub(crate) fn clean_up(
    settings: &Settings,
    pod: &Pod,
    id: &ContainerId,
    bundle: &Path,
) -> Result<(), SandboxError> {
    let events = pod.path(EVENTS).to_string_lossy().into_owned();
    run(settings, id, bundle, &events, "delete", &[]).map(drop)
}

fn run(
    settings: &Settings,
    id: &ContainerId,
    bundle: &Path,
    events: &str,
    action: &'static str,
    input: &[u8],
) -> Result<Ended, SandboxError> {
    let bundle_text = bundle.to_string_lossy();
    let publisher = settings.publisher.to_string_lossy();
    let mut args = vec![
        "-namespace",
        &settings.namespace,
        "-address",
        &settings.address,
        "-publish-binary",
        &publisher,
        "-id",
        id.as_str(),
    ];
    if action == "delete" {
        args.extend(["-bundle", &bundle_text]);
    }
    args.push(action);
    let variables = [
        // The highest version of the program's interface, not of its protocol.
        ("MAX_SHIM_VERSION", "2"),
        ("GOMAXPROCS", "2"),
        ("TTRPC_ADDRESS", events),
        ("GRPC_ADDRESS", &settings.address),
        ("NAMESPACE", &settings.namespace),
    ];
    let call = Call {
        program: &settings.program,
        args: args.into_iter().map(str::to_owned).collect(),
        variables: variables.map(|(name, value)| (name, value.to_owned())).to_vec(),
        directory: Some(bundle),
        io: Io::Answer(input),
        preserve_fds: 0,
        patience: PATIENCE,
    };
    let step = || format!("{} {action}", settings.program.display());
    let ended = call.run(&mut NoWatch).context(step)?;
    if ended.succeeded() {
        return Ok(ended);
    }
    let said = [ended.stderr.as_slice(), &ended.stdout].map(in_a_line);
    let said = said.iter().find(|said| !said.is_empty());
    Err(said.cloned().unwrap_or_else(|| format!("{}, without a word", ended.how()))).context(step)
}

/// Asks the program something that needs no shim.
fn ask(settings: &Settings, question: &str, input: &[u8]) -> Option<Vec<u8>> {
    let call = Call {
        program: &settings.program,
        args: vec![question.to_owned()],
        variables: Vec::new(),
        // Whatever it leaves there is not ours to find.
        directory: Some(Path::new("/")),
        io: Io::Answer(input),
        preserve_fds: 0,
        patience: ANSWER_PATIENCE,
    };
    call.run(&mut NoWatch).ok().filter(Ended::succeeded).map(|ended| ended.stdout)
}

/// What its runtime can do, in the OCI's words.
pub(crate) fn features(settings: &Settings) -> Option<Features> {
    let answer = ask(settings, "-info", &settings.options)?;
    serde_json::from_slice(&info::features(&answer).ok()?).ok()
}

/// What its version is: the line that says so, or the first.
pub(crate) fn version(settings: &Settings) -> Option<String> {
    let answer = ask(settings, "-v", &[])?;
    let text = String::from_utf8_lossy(&answer);
    let line = text.lines().find_map(|line| line.trim().strip_prefix("Version:"));
    let line = line.or_else(|| text.lines().next())?.trim();
    let said: String = line.chars().filter(|c| !c.is_control()).take(200).collect();
    Some(said).filter(|said| !said.is_empty())
}

fn in_a_line(words: &[u8]) -> String {
    let plain = |c: char| if c.is_control() { ' ' } else { c };
    let words = String::from_utf8_lossy(words);
    words.trim().chars().map(plain).take(LONGEST_WORDS).collect()
}

/// The process, if it descends from us or from our parent: what a shim says of
/// itself may be anybody's number.
pub(crate) fn own_descendant(pid: i32) -> Option<Identity> {
    let ours = [own_pid(), ProcessStat::read(own_pid())?.parent];
    let stat = ProcessStat::read(pid)?;
    // A few steps: its starter may not have ended yet.
    let mut ancestor = stat.parent;
    for _ in 0..4 {
        if ours.contains(&ancestor) {
            return Some(Identity { pid, start_time: stat.start_time });
        }
        ancestor = ProcessStat::read(ancestor)?.parent;
    }
    None
}
