# Versions of the peers that do not come from the running Debian release.
# Overridable from the environment.

# Go modules; built with the machine's Go.
: "${RUNC_VERSION:=v1.5.2}"
: "${RUNSC_VERSION:=v0.0.0-20260527191743-a81fd9dd382e}"
: "${RUNTIME_TOOLS_VERSION:=v0.9.1-0.20251114084447-edf4cb3d2116}"

# Later Debian suites to look for a newer crun in, first match wins,
# and the oldest version that counts as new.
: "${CRUN_SUITES:=forky sid}"
: "${CRUN_OLDEST:=1.28}"
