#!/bin/bash
# forms: short whole; seconds: 120
# Programs that no package has: a static one of Go, one of Rust with many threads.
set -eu
mkdir /desk && cd /desk
for program in go rust; do echo "$program"; "/made/$program" "$SCALE"; done
