//! Block devices in v1 (Documentation/admin-guide/cgroup-v1/blkio-controller.rst).

use crate::dir::CgroupDir;
use crate::error::{FileError, InField, LimitError};
use caisson_runtime_spec::{BlockIo, ThrottleDevice};

pub(crate) fn apply(dir: CgroupDir<'_>, io: &BlockIo) -> Result<(), LimitError> {
    if let Some(weight) = io.weight.filter(|weight| *weight != 0) {
        write_weight(dir, "blkio.weight", "blkio.bfq.weight", &weight.to_string())
            .in_field("linux.resources.blockIO.weight")?;
    }
    if let Some(weight) = io.leaf_weight.filter(|weight| *weight != 0) {
        dir.write("blkio.leaf_weight", &weight.to_string())
            .in_field("linux.resources.blockIO.leafWeight")?;
    }
    for device in &io.weight_device {
        let field = "linux.resources.blockIO.weightDevice";
        let line = |weight: u16| format!("{}:{} {weight}", device.major, device.minor);
        if let Some(weight) = device.weight.filter(|weight| *weight != 0) {
            write_weight(dir, "blkio.weight_device", "blkio.bfq.weight_device", &line(weight))
                .in_field(field)?;
        }
        if let Some(weight) = device.leaf_weight.filter(|weight| *weight != 0) {
            dir.write("blkio.leaf_weight_device", &line(weight)).in_field(field)?;
        }
    }
    throttle(
        dir,
        "blkio.throttle.read_bps_device",
        &io.throttle_read_bps_device,
        "linux.resources.blockIO.throttleReadBpsDevice",
    )?;
    throttle(
        dir,
        "blkio.throttle.write_bps_device",
        &io.throttle_write_bps_device,
        "linux.resources.blockIO.throttleWriteBpsDevice",
    )?;
    throttle(
        dir,
        "blkio.throttle.read_iops_device",
        &io.throttle_read_iops_device,
        "linux.resources.blockIO.throttleReadIOPSDevice",
    )?;
    throttle(
        dir,
        "blkio.throttle.write_iops_device",
        &io.throttle_write_iops_device,
        "linux.resources.blockIO.throttleWriteIOPSDevice",
    )
}

fn throttle(
    dir: CgroupDir<'_>,
    file: &str,
    devices: &[ThrottleDevice],
    field: &'static str,
) -> Result<(), LimitError> {
    for device in devices {
        let line = format!("{}:{} {}", device.major, device.minor, device.rate);
        dir.write(file, &line).in_field(field)?;
    }
    Ok(())
}

/// Weights belong to the I/O scheduler: CFQ (before Linux 5.0) or BFQ.
fn write_weight(dir: CgroupDir<'_>, cfq: &str, bfq: &str, value: &str) -> Result<(), FileError> {
    if dir.write_if_present(cfq, value)? { Ok(()) } else { dir.write(bfq, value) }
}
