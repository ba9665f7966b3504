//! Calls on sockets: there are none yet, and programs that ask whether a
//! descriptor is one get the answer that Linux gives for other files.

use rustix::io::Errno;

use super::{Call, Outcome};

pub(super) fn not_a_socket(call: &Call<'_>) -> Outcome {
    call.file(0)?;
    Err(Errno::NOTSOCK.into())
}
