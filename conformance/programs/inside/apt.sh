#!/bin/bash
# forms: short whole; seconds: 120
# apt-get and dpkg inside: on packages that dpkg-deb makes here, in a folder, and on some of
# Debian's own (/made/debs, which build.sh fetched), from a web server on loopback.
set -eu
exec 2>&1
export DEBIAN_FRONTEND=noninteractive
rm -f /etc/apt/sources.list /etc/apt/sources.list.d/*
mkdir -p /repository /desk && cd /desk
entry() { # file in the folder: adds it to the folder's index
    dpkg-deb -f "$1"; printf 'Filename: ./%s\nSize: %s\nSHA256: %s\n\n' "$1" "$(stat -c %s "$1")" "$(sha256sum "$1" | cut -d' ' -f1)"
}
package() { # name, version, depends
    mkdir -p "$1/DEBIAN" "$1/usr/share/$1" "$1/usr/bin"
    printf 'Package: %s\nVersion: %s\nArchitecture: all\nMaintainer: Nobody <nobody@example.org>\nDepends: %s\nDescription: test\n' "$1" "$2" "$3" >"$1/DEBIAN/control"
    [[ -n $3 ]] || sed -i '/^Depends/d' "$1/DEBIAN/control"
    for i in {1..100}; do echo "$1 $2 $i" >"$1/usr/share/$1/$i"; done
    printf '#!/bin/sh\necho %s %s\n' "$1" "$2" >"$1/usr/bin/$1"; chmod 755 "$1/usr/bin/$1"
    printf '#!/bin/sh\nset -e\necho "%s is set up: $1"\n' "$1" >"$1/DEBIAN/postinst"; chmod 755 "$1/DEBIAN/postinst"
    dpkg-deb --root-owner-group -b "$1" "/repository/$1_$2_all.deb" >/dev/null
    (cd /repository && entry "$1_$2_all.deb" >>Packages)
}
package lower 1.0 ""
package upper 1.0 "lower (>= 1.0)"
echo 'deb [trusted=yes] file:/repository ./' >/etc/apt/sources.list
run() { "$@" | grep -v -e '^Get:' -e '^Fetched' -e 'Reading ' -e '^(Reading' -e '^Ign:' -e '^Need to get' || true; }
run apt-get -q update
run apt-get -q -y install upper
upper; lower; dpkg -l upper lower | tail -n 2; dpkg -L upper | md5sum; dpkg -V upper && echo verified
package lower 1.1 ""
run apt-get -q update; run apt-get -q -y dist-upgrade; lower
apt-cache policy lower | head -n 3; apt-mark showmanual | grep per
run apt-get -q -y purge lower; ls /usr/share/upper || true; dpkg --audit && echo audited
su -s /bin/sh nobody -c 'apt-get -q -y install upper; echo "as nobody: $?"' 2>&1 | tail -n 1
# Debian's jq and its two libraries, each with what it depends on, and the dynamic linker's trigger.
mkdir /pool && cd /pool && cp /made/debs/*.deb . && for deb in *.deb; do entry "$deb"; done >Packages
python3 -m http.server -b 127.0.0.1 8200 >/dev/null 2>&1 & server=$!
echo 'deb [trusted=yes] http://127.0.0.1:8200/ ./' >/etc/apt/sources.list
until python3 -c 'import socket; socket.create_connection(("127.0.0.1", 8200))' 2>/dev/null; do sleep 0.1; done
run apt-get -q update
run apt-get -q -y install jq; kill $server
dpkg -V jq libjq1 libonig5 && echo verified; echo '{"a": [1, 2, 39]}' | jq -c '.a | add, map(. * 2)'
run apt-get -q -y autoremove --purge jq; ls /usr/bin/jq || true; dpkg --audit && echo audited
