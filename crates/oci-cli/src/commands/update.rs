//! `update`: other limits for a container that exists.

use std::fs::File;
use std::io::Read;

use caisson_runtime_spec::{BlockIo, Cpu, Memory, Pids, Resources, SIZE_LIMIT, validate_resources};

use super::Command;
use crate::failure::CliError;
use crate::flags::{Flag, FlagsEnd, Kind, Parsed};
use crate::invocation::Invocation;

pub(crate) const COMMAND: Command = Command {
    name: "update",
    summary: "change the limits of a container",
    arguments: "<container-id>",
    details: "What is not mentioned stays as it is. With --resources no other option counts.",
    flags: &[
        Flag::new(
            "resources",
            Kind::Text,
            "file with limits as in linux.resources of config.json; - is standard input",
        )
        .short('r'),
        Flag::new("blkio-weight", Kind::Integer, "weight of block I/O, 10 to 1000"),
        Flag::new("cpu-period", Kind::Text, "period of the CPU quota in microseconds"),
        Flag::new("cpu-quota", Kind::Text, "CPU time per period in microseconds; -1: unlimited"),
        Flag::new("cpu-burst", Kind::Text, "CPU time that may be saved up, in microseconds"),
        Flag::new("cpu-share", Kind::Text, "relative weight of CPU time, 2 to 262144"),
        Flag::new("cpu-rt-period", Kind::Text, "real-time period in microseconds (cgroup v1)"),
        Flag::new("cpu-rt-runtime", Kind::Text, "real-time CPU per period (cgroup v1)"),
        Flag::new("cpu-idle", Kind::Text, "1: run only when nothing else wants to; 0: normal"),
        Flag::new("cpuset-cpus", Kind::Text, "CPUs to use, such as 0-3,7"),
        Flag::new("cpuset-mems", Kind::Text, "memory nodes to use"),
        Flag::new("kernel-memory", Kind::Text, "").hidden(),
        Flag::new("kernel-memory-tcp", Kind::Text, "").hidden(),
        Flag::new("memory", Kind::Text, "memory in bytes, or with k, m, g, t; -1: unlimited"),
        Flag::new("memory-reservation", Kind::Text, "soft memory limit, in the same form"),
        Flag::new("memory-swap", Kind::Text, "memory and swap together; -1: unlimited swap"),
        Flag::new("pids-limit", Kind::Integer, "number of tasks; -1: unlimited"),
        Flag::new("l3-cache-schema", Kind::Text, "Intel RDT cache schema (not supported)"),
        Flag::new("mem-bw-schema", Kind::Text, "Intel RDT bandwidth schema (not supported)"),
    ],
    end: FlagsEnd::Never,
    counts: (1, Some(1)),
    run: update,
};

fn update(invocation: &Invocation<'_>) -> Result<u8, CliError> {
    let flags = invocation.flags;
    for (flag, feature) in
        [("l3-cache-schema", "l3 cache schema"), ("mem-bw-schema", "memory bandwidth schema")]
    {
        if flags.filled(flag)?.is_some() {
            let why = format!("Intel RDT: {feature} is not enabled: --{flag} is not supported");
            return Err(CliError::Refused(why));
        }
    }
    let mut limits = match flags.filled("resources")? {
        Some("-") => from_document(std::io::stdin().lock(), "standard input")?,
        Some(path) => {
            let file = File::open(path).map_err(|e| CliError::io(format!("open {path}"), e))?;
            from_document(file, path)?
        }
        None => from_flags(flags)?,
    };
    validate_resources(&limits, "resources")?;
    complete(&mut limits);
    if let Some(memory) = &limits.memory
        && (memory.kernel.is_some() || memory.kernel_tcp.is_some())
    {
        invocation.log.warn("Kernel memory settings are ignored and will be removed");
    }
    let container = invocation.container()?;
    container.resources().update(&limits)?;
    Ok(0)
}

fn from_document(source: impl Read, name: &str) -> Result<Resources, CliError> {
    let mut bytes = Vec::new();
    source
        .take(SIZE_LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(|e| CliError::io(format!("read {name}"), e))?;
    Ok(Resources::from_slice(&bytes, name)?)
}

fn from_flags(flags: &Parsed<'_>) -> Result<Resources, CliError> {
    let cpu = Cpu {
        shares: number(flags, "cpu-share")?,
        quota: number(flags, "cpu-quota")?,
        burst: number(flags, "cpu-burst")?,
        period: number(flags, "cpu-period")?,
        realtime_runtime: number(flags, "cpu-rt-runtime")?,
        realtime_period: number(flags, "cpu-rt-period")?,
        cpus: flags.filled("cpuset-cpus")?.map(str::to_owned),
        mems: flags.filled("cpuset-mems")?.map(str::to_owned),
        idle: number(flags, "cpu-idle")?,
    };
    let memory = Memory {
        limit: bytes(flags, "memory")?,
        reservation: bytes(flags, "memory-reservation")?,
        swap: bytes(flags, "memory-swap")?,
        kernel: bytes(flags, "kernel-memory")?,
        kernel_tcp: bytes(flags, "kernel-memory-tcp")?,
        ..Memory::default()
    };
    let weight =
        match flags.integer("blkio-weight").filter(|weight| *weight != 0) {
            None => None,
            Some(weight) => Some(u16::try_from(weight).map_err(|_| {
                CliError::Refused(format!("invalid value for blkio-weight: {weight}"))
            })?),
        };
    Ok(Resources {
        cpu: (cpu != Cpu::default()).then_some(cpu),
        memory: (memory != Memory::default()).then_some(memory),
        block_io: weight.map(|weight| BlockIo { weight: Some(weight), ..BlockIo::default() }),
        pids: flags.integer("pids-limit").map(|limit| Pids { limit: Some(limit) }),
        ..Resources::default()
    })
}

/// Adds what the kernel wants along with what was asked for.
fn complete(limits: &mut Resources) {
    if let Some(memory) = &mut limits.memory
        && memory.limit == Some(-1)
        && memory.swap.is_none()
    {
        // Swap can't stay limited without a memory limit; 0 leaves it alone.
        memory.swap = Some(0);
    }
    if let Some(cpu) = &mut limits.cpu
        && cpu.idle.is_some()
        && cpu.shares.is_none()
    {
        // A weight can't be set on an idle group.
        cpu.shares = Some(0);
    }
}

fn number<T: std::str::FromStr>(flags: &Parsed<'_>, name: &str) -> Result<Option<T>, CliError>
where
    T::Err: std::fmt::Display,
{
    let parse = |text: &str| {
        text.parse()
            .map_err(|e| CliError::Refused(format!("invalid value for {name}: {text:?}: {e}")))
    };
    flags.filled(name)?.map(parse).transpose()
}

/// A flag's number of bytes.
fn bytes(flags: &Parsed<'_>, name: &str) -> Result<Option<i64>, CliError> {
    let parse = |text: &str| {
        byte_count(text)
            .ok_or_else(|| CliError::Refused(format!("invalid value for {name}: {text:?}")))
    };
    flags.filled(name)?.map(parse).transpose()
}

/// `-1`, or a number with an optional fraction and an optional binary unit, as
/// `b k m g t p` with any of `B`, `iB` behind it, in any case.
fn byte_count(text: &str) -> Option<i64> {
    if text == "-1" {
        return Some(-1);
    }
    let digits = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits)?;
    let unit = unit.strip_prefix(' ').unwrap_or(unit).to_ascii_lowercase();
    let shift = match unit.strip_suffix("ib").or(unit.strip_suffix('b')).unwrap_or(&unit) {
        "" if unit != "ib" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, "0"));
    let whole = whole.parse::<i64>().ok()?.checked_mul(1 << shift)?;
    // Nine digits of a fraction of a petabyte are finer than a byte needs.
    let fraction = fraction.get(..fraction.len().min(9)).filter(|f| !f.is_empty())?;
    let scale = 10_i128.pow(u32::try_from(fraction.len()).ok()?);
    let part = i128::from(fraction.parse::<i64>().ok()?) * (1_i128 << shift) / scale;
    whole.checked_add(i64::try_from(part).ok()?)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::{COMMAND, byte_count, complete, from_document, from_flags};
    use crate::flags::parse;

    fn limits(args: &[&str]) -> Result<serde_json::Value, String> {
        let mut args = args.iter().map(OsString::from);
        let flags = parse(COMMAND.flags, &mut args, COMMAND.end).map_err(|e| e.to_string())?;
        let mut limits = from_flags(&flags).map_err(|e| e.to_string())?;
        complete(&mut limits);
        Ok(serde_json::to_value(limits).unwrap())
    }

    #[test]
    fn sizes_are_binary() {
        for (text, count) in [
            ("0", Some(0)),
            ("-1", Some(-1)),
            ("1048576", Some(1 << 20)),
            ("1k", Some(1024)),
            ("1K", Some(1024)),
            ("1kb", Some(1024)),
            ("1KiB", Some(1024)),
            ("512m", Some(512 << 20)),
            ("1.5g", Some(3 << 29)),
            ("2 G", Some(2 << 30)),
            ("1b", Some(1)),
            ("", None),
            ("-2", None),
            ("m", None),
            ("1x", None),
            ("1ib", None),
            ("9999999999999999999", None),
            ("9000000000p", None),
            ("1.m", None),
        ] {
            assert_eq!(byte_count(text), count, "{text:?}");
        }
    }

    #[test]
    fn every_flag_finds_its_field() {
        let value = limits(&[
            "--blkio-weight=500",
            "--cpu-period=100000",
            "--cpu-quota=-1",
            "--cpu-burst=1",
            "--cpu-share=512",
            "--cpu-rt-period=7",
            "--cpu-rt-runtime=8",
            "--cpu-idle=1",
            "--cpuset-cpus=0-1",
            "--cpuset-mems=0",
            "--memory=32m",
            "--memory-reservation=16m",
            "--memory-swap=-1",
            "--pids-limit=20",
            "c1",
        ]);
        assert_eq!(
            value.unwrap(),
            serde_json::json!({
                "blockIO": {"weight": 500},
                "cpu": {"period": 100_000, "quota": -1, "burst": 1, "shares": 512,
                    "realtimePeriod": 7, "realtimeRuntime": 8, "idle": 1, "cpus": "0-1",
                    "mems": "0"},
                "memory": {"limit": 33_554_432, "reservation": 16_777_216, "swap": -1},
                "pids": {"limit": 20},
            })
        );
    }

    #[test]
    fn nothing_asked_is_nothing_changed() {
        assert_eq!(limits(&["c1"]).unwrap(), serde_json::json!({}));
        assert_eq!(
            limits(&["--memory=-1", "--cpu-idle=0", "c1"]).unwrap(),
            serde_json::json!({"memory": {"limit": -1, "swap": 0}, "cpu": {"idle": 0, "shares": 0}})
        );
    }

    #[test]
    fn bad_values_name_the_flag() {
        for (arg, name) in [
            ("--memory=x", "memory"),
            ("--cpu-share=-1", "cpu-share"),
            ("--cpu-quota=1.5", "cpu-quota"),
            ("--blkio-weight=70000", "blkio-weight"),
            ("--pids-limit=x", "pids-limit"),
        ] {
            assert!(limits(&[arg, "c1"]).unwrap_err().contains(name), "{arg}");
        }
    }

    #[test]
    fn documents_are_read_as_go_writes_them() {
        let text = r#"{"memory":{"limit":1024},"cpu":null,"devices":null}"#;
        let limits = from_document(text.as_bytes(), "-").unwrap();
        assert_eq!(limits.memory.unwrap().limit, Some(1024));
        assert!(from_document(&b"{\"memory\":{\"limit\":\"x\"}}"[..], "r.json").is_err());
    }
}
