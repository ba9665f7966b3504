//! Block devices in v2.

use super::convert::io_weight;
use crate::dir::CgroupDir;
use crate::error::{InField, LimitError};
use caisson_runtime_spec::{BlockIo, ThrottleDevice};

/// `io.bfq.weight` has v1's scale and is preferred where the scheduler is there;
/// `io.weight` belongs to the cost model. Leaf weights are v1 only and ignored.
pub(crate) fn apply(dir: CgroupDir<'_>, io: &BlockIo) -> Result<(), LimitError> {
    if let Some(weight) = io.weight.filter(|weight| *weight != 0) {
        let field = "linux.resources.blockIO.weight";
        if !dir.write_if_present("io.bfq.weight", &weight.to_string()).in_field(field)? {
            dir.write("io.weight", &io_weight(weight).to_string()).in_field(field)?;
        }
    }
    for device in &io.weight_device {
        if let Some(weight) = device.weight.filter(|weight| *weight != 0) {
            let line = format!("{}:{} {weight}\n", device.major, device.minor);
            // As with runc there is no fallback: io.weight's per-device values
            // mean something else.
            dir.write_if_present("io.bfq.weight", &line)
                .in_field("linux.resources.blockIO.weightDevice")?;
        }
    }
    let tables = [
        ("rbps", &io.throttle_read_bps_device, "linux.resources.blockIO.throttleReadBpsDevice"),
        ("wbps", &io.throttle_write_bps_device, "linux.resources.blockIO.throttleWriteBpsDevice"),
        ("riops", &io.throttle_read_iops_device, "linux.resources.blockIO.throttleReadIOPSDevice"),
        (
            "wiops",
            &io.throttle_write_iops_device,
            "linux.resources.blockIO.throttleWriteIOPSDevice",
        ),
    ];
    for (key, devices, field) in tables {
        for ThrottleDevice { major, minor, rate } in devices {
            // 0 is v1's way to say "no limit".
            let line = match rate {
                0 => format!("{major}:{minor} {key}=max"),
                _ => format!("{major}:{minor} {key}={rate}"),
            };
            dir.write("io.max", &line).in_field(field)?;
        }
    }
    Ok(())
}
