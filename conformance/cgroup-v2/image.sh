#!/bin/bash
# Builds the guest of this suite below the directory DIR, without touching the
# system's own packages: image.sh DIR.
#
#   DIR/vmlinuz     Debian's cloud kernel
#   DIR/modules.cpio   the drivers of its disks, with a list of them in order
#   DIR/root.ext4   systemd, D-Bus, crun, runc and a shell, unpacked from
#                   packages of the system's own release, none configured
#
# Idempotent: does nothing if what is there came of the same packages.
set -euo pipefail
dir=$1
packages=(linux-image-cloud-amd64 systemd-sysv libpam-systemd dbus dbus-user-session
    crun runc busybox-static util-linux bsdutils coreutils bash dash grep sed findutils diffutils
    procps kmod iproute2 perl-base passwd base-files)
mkdir -p "$dir"/{lists/partial,archives/partial}
: >"$dir/status"
# An empty list of installed packages: everything needed is fetched, and
# nothing of it is installed.
apt=(apt-get -qq -y -o "Dir::State::status=$dir/status" -o "Dir::Cache=$dir/cache"
    -o "Dir::Cache::archives=$dir/archives" -o APT::Sandbox::User=root
    -o APT::Install-Recommends=false -o APT::Get::Download-Only=true)
mkdir -p "$dir/cache"

wanted() { "${apt[@]}" --print-uris install "${packages[@]}" | awk '{ print $2 }' | sort; }
list=$(wanted)
[[ -n $list ]] || exit 1
key=$({ echo "$list" && cat "$0"; } | sha256sum | cut -d' ' -f1)
if [[ -e $dir/key && $(<"$dir/key") == "$key" ]]; then exit 0; fi
rm -f "$dir/key"

echo "cgroup-v2: fetching $(wc -l <<<"$list") packages for the guest"
"${apt[@]}" install "${packages[@]}" >/dev/null
tree=$dir/tree
rm -rf "$tree"
mkdir -p "$tree"/{usr/{bin,sbin,lib,lib32,lib64,libx32},etc/systemd/system,proc,sys,dev,run,tmp,root,payload,home/user}
for name in bin sbin lib lib64; do ln -s "usr/$name" "$tree/$name"; done
while read -r name; do
    # Versions' colons are escaped in file names.
    dpkg-deb --fsys-tarfile "$dir/archives/$name" |
        tar -x -C "$tree" --keep-directory-symlink --exclude='./usr/share/doc/*' \
            --exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' --exclude='./usr/share/perl/*' \
            --exclude='./usr/lib/*/perl/*' --exclude='./usr/share/info/*'
done <<<"$list"

# What the packages' own scripts would have made.
ln -sf dash "$tree/usr/bin/sh"
cat >"$tree/etc/passwd" <<'END'
root:x:0:0:root:/root:/bin/bash
messagebus:x:101:101::/nonexistent:/usr/sbin/nologin
user:x:1000:1000::/home/user:/bin/bash
nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin
END
cat >"$tree/etc/group" <<'END'
root:x:0:
tty:x:5:
messagebus:x:101:
user:x:1000:
nogroup:x:65534:
END
chown 1000:1000 "$tree/home/user"
chmod 1777 "$tree/tmp"
echo 0123456789abcdef0123456789abcdef >"$tree/etc/machine-id"
echo guest >"$tree/etc/hostname"
for kind in account auth password session session-noninteractive; do
    echo "${kind%-*} required pam_permit.so" >"$tree/etc/pam.d/common-$kind"
done
: >"$tree/etc/fstab"

version=$(basename "$tree"/boot/vmlinuz-*)
version=${version#vmlinuz-}
mv "$tree/boot/vmlinuz-$version" "$dir/vmlinuz"
rm -rf "${tree:?}/boot"
chroot "$tree" depmod "$version"
drivers=$dir/drivers
rm -rf "$drivers"
mkdir -p "$drivers/modules"
for module in virtio_pci virtio_blk; do
    chroot "$tree" modprobe --show-depends -S "$version" $module
done | awk '$1 == "insmod" && !seen[$2]++ { print $2 }' >"$drivers/paths"
while read -r path; do
    cp "$tree$path" "$drivers/modules/"
    basename "$path"
done <"$drivers/paths" >"$drivers/modules/order"
cp "$tree/usr/bin/busybox" "$drivers/busybox"
(cd "$drivers" && rm paths && find . | busybox cpio -o -H newc 2>/dev/null) >"$dir/modules.cpio"

rm -f "$dir/root.ext4"
mke2fs -q -t ext4 -O ^has_journal -d "$tree" -L root "$dir/root.ext4" 700M
rm -rf "$tree" "$drivers" "$dir/archives" "$dir/lists" "$dir/cache"
echo "$key" >"$dir/key"
