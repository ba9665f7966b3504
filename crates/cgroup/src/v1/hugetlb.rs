//! Huge pages; v1 and v2 differ in the suffix of the files only.

use crate::dir::CgroupDir;
use crate::error::{InField, LimitError};
use caisson_runtime_spec::HugepageLimit;

/// Limits use, and reservation where the kernel has that (5.7).
pub(crate) fn apply(
    dir: CgroupDir<'_>,
    limits: &[HugepageLimit],
    suffix: &str,
) -> Result<(), LimitError> {
    let mut reservations = true;
    for limit in limits {
        let size = &limit.page_size;
        if size.is_empty() || !size.bytes().all(|b| b.is_ascii_alphanumeric()) {
            let reason = format!("{size:?} is not a page size such as 2MB");
            return Err(LimitError::invalid("linux.resources.hugepageLimits.pageSize", reason));
        }
        let field = "linux.resources.hugepageLimits";
        let value = limit.limit.to_string();
        dir.write(&format!("hugetlb.{size}.{suffix}"), &value).in_field(field)?;
        if reservations {
            let file = format!("hugetlb.{size}.rsvd.{suffix}");
            reservations = dir.write_if_present(&file, &value).in_field(field)?;
        }
    }
    Ok(())
}
