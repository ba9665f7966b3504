//! `org.freedesktop.systemd1.Manager` (org.freedesktop.systemd1(5)).

use super::bus::{Bus, BusError};
use super::property::UnitProperty;
use super::wire::{Decoder, Encoder, Incoming, Outgoing};
use std::time::{Duration, Instant};

const NAME: &str = "org.freedesktop.systemd1";
const PATH: &str = "/org/freedesktop/systemd1";
const INTERFACE: &str = "org.freedesktop.systemd1.Manager";
const BUS: &str = "org.freedesktop.DBus";
const SYSTEM_BUS: &str = "unix:path=/run/dbus/system_bus_socket";
const PRIVATE: &str = "unix:path=/run/systemd/private";
const DEADLINE: Duration = Duration::from_secs(30);

/// systemd, the system's or the user's.
#[derive(Debug)]
pub(super) struct Manager {
    bus: Bus,
    deadline: Instant,
    /// Empty on a connection without a bus in between.
    destination: &'static str,
    version: Option<u32>,
}

/// How a job ended: `done`, `failed`, `canceled`, `timeout`, …
pub(super) type JobResult = String;

impl Manager {
    /// Connects over the system bus or, as root without a bus, directly; for
    /// `user` over the user's bus. `address` overrides that.
    pub(super) fn connect(address: Option<&str>, user: bool) -> Result<Manager, BusError> {
        let deadline = Instant::now() + DEADLINE;
        let (bus, destination) = match (address, user) {
            (Some(address), _) => (Bus::connect(address, deadline)?, NAME),
            (None, true) => (Bus::connect(&user_bus()?, deadline)?, NAME),
            (None, false) => {
                let given = std::env::var("DBUS_SYSTEM_BUS_ADDRESS").ok();
                match Bus::connect(given.as_deref().unwrap_or(SYSTEM_BUS), deadline) {
                    Ok(bus) => (bus, NAME),
                    Err(error) if rustix::process::geteuid().is_root() => {
                        (Bus::connect(PRIVATE, deadline).map_err(|_| error)?, "")
                    }
                    Err(error) => return Err(error),
                }
            }
        };
        let mut manager = Manager { bus, deadline, destination, version: None };
        if !destination.is_empty() {
            manager.bus_call("Hello", "", |_| {})?;
        }
        Ok(manager)
    }

    fn bus_call(
        &mut self,
        member: &str,
        signature: &str,
        body: impl FnOnce(&mut Encoder),
    ) -> Result<Incoming, BusError> {
        let mut out = Encoder::default();
        body(&mut out);
        let message = Outgoing {
            path: "/org/freedesktop/DBus",
            interface: BUS,
            member,
            destination: BUS,
            signature,
            body: out.into_bytes(),
            ..Outgoing::default()
        };
        self.bus.call(message, self.deadline)
    }

    fn call(
        &mut self,
        interface: &str,
        member: &str,
        signature: &str,
        body: impl FnOnce(&mut Encoder),
    ) -> Result<Incoming, BusError> {
        let mut out = Encoder::default();
        body(&mut out);
        let message = Outgoing {
            path: PATH,
            interface,
            member,
            destination: self.destination,
            signature,
            body: out.into_bytes(),
            ..Outgoing::default()
        };
        self.bus.call(message, self.deadline)
    }

    /// Jobs are reported to subscribers only.
    fn subscribe(&mut self) -> Result<(), BusError> {
        if !self.destination.is_empty() {
            let rule = format!(
                "type='signal',sender='{NAME}',path='{PATH}',interface='{INTERFACE}',member='JobRemoved'"
            );
            self.bus_call("AddMatch", "s", |out| out.string(&rule))?;
        }
        self.call(INTERFACE, "Subscribe", "", |_| {})?;
        Ok(())
    }

    fn wait_for_job(&mut self, answer: &Incoming, what: &str) -> Result<JobResult, BusError> {
        let job = Decoder::new(&answer.body).string()?.to_owned();
        loop {
            let signal = self.bus.signal(self.deadline, what)?;
            if signal.member != "JobRemoved" || signal.interface != INTERFACE {
                continue;
            }
            let mut body = Decoder::new(&signal.body);
            let _id = body.u32()?;
            if body.string()? != job {
                continue;
            }
            let _unit = body.string()?;
            return Ok(body.string()?.to_owned());
        }
    }

    /// Starts a transient unit and waits for the end of the job.
    pub(super) fn start_transient_unit(
        &mut self,
        unit: &str,
        properties: &[UnitProperty],
    ) -> Result<JobResult, BusError> {
        self.subscribe()?;
        let answer = self.call(INTERFACE, "StartTransientUnit", "ssa(sv)a(sa(sv))", |out| {
            out.string(unit);
            out.string("replace");
            encode_properties(out, properties);
            out.array(8, |_| {});
        })?;
        self.wait_for_job(&answer, &format!("systemd to create {unit}"))
    }

    /// Stops a unit and waits for the end of the job.
    pub(super) fn stop_unit(&mut self, unit: &str) -> Result<JobResult, BusError> {
        self.subscribe()?;
        let answer = self.call(INTERFACE, "StopUnit", "ss", |out| {
            out.string(unit);
            out.string("replace");
        })?;
        self.wait_for_job(&answer, &format!("systemd to remove {unit}"))
    }

    pub(super) fn reset_failed_unit(&mut self, unit: &str) -> Result<(), BusError> {
        self.call(INTERFACE, "ResetFailedUnit", "s", |out| out.string(unit))?;
        Ok(())
    }

    /// Changes properties until the next boot.
    pub(super) fn set_unit_properties(
        &mut self,
        unit: &str,
        properties: &[UnitProperty],
    ) -> Result<(), BusError> {
        self.call(INTERFACE, "SetUnitProperties", "sba(sv)", |out| {
            out.string(unit);
            out.u32(1);
            encode_properties(out, properties);
        })?;
        Ok(())
    }

    /// Moves a process into the unit, or into a cgroup below the unit's.
    pub(super) fn attach_process(
        &mut self,
        unit: &str,
        sub: &str,
        pid: u32,
    ) -> Result<(), BusError> {
        self.call(INTERFACE, "AttachProcessesToUnit", "ssau", |out| {
            out.string(unit);
            out.string(sub);
            out.array(4, |out| out.u32(pid));
        })?;
        Ok(())
    }

    /// A property of type `s` of the manager.
    pub(super) fn text_property(&mut self, name: &str) -> Result<String, BusError> {
        let answer = self.call("org.freedesktop.DBus.Properties", "Get", "ss", |out| {
            out.string(INTERFACE);
            out.string(name);
        })?;
        let mut body = Decoder::new(&answer.body);
        if body.signature()? != "s" {
            return Err(super::wire::WireError("a property is not a string").into());
        }
        Ok(body.string()?.to_owned())
    }

    /// Major version; 0 if it can't be read.
    pub(super) fn version(&mut self) -> u32 {
        if let Some(version) = self.version {
            return version;
        }
        let text = self.text_property("Version").unwrap_or_default();
        let version = parse_version(&text);
        self.version = Some(version);
        version
    }
}

/// `v245.4-1.fc32`, `252.38-1~deb12u1`, `257` …
fn parse_version(text: &str) -> u32 {
    let digits = text.trim_start_matches(['"', 'v']);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    digits.get(..end).and_then(|digits| digits.parse().ok()).unwrap_or(0)
}

fn encode_properties(out: &mut Encoder, properties: &[UnitProperty]) {
    out.array(8, |out| {
        for property in properties {
            out.align(8);
            out.string(&property.name);
            property.value.encode_variant(out);
        }
    });
}

fn user_bus() -> Result<String, BusError> {
    if let Ok(address) = std::env::var("DBUS_SESSION_BUS_ADDRESS")
        && !address.is_empty()
    {
        return Ok(address);
    }
    let directory = std::env::var("XDG_RUNTIME_DIR").map_err(|_| BusError::NoUserBus)?;
    let mut escaped = String::new();
    for byte in directory.bytes() {
        if byte.is_ascii_alphanumeric() || b"-_/.\\*".contains(&byte) {
            escaped.push(char::from(byte));
        } else {
            escaped.push_str(&format!("%{byte:02x}"));
        }
    }
    Ok(format!("unix:path={escaped}/bus"))
}

#[cfg(test)]
mod version_tests {
    use super::parse_version;

    #[test]
    fn versions() {
        assert_eq!(parse_version("v245.4-1.fc32"), 245);
        assert_eq!(parse_version("\"252.38-1~deb12u1\""), 252);
        assert_eq!(parse_version("257"), 257);
        assert_eq!(parse_version("x"), 0);
    }
}
