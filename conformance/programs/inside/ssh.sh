#!/bin/bash
# forms: whole; seconds: 120
# ssh to itself over loopback: commands, copies, a terminal, forwarding, sftp, many at once.
set -eu
exec 2>&1
mkdir -p /run/sshd /desk ~/.ssh && chmod 700 ~/.ssh && cd /desk
ssh-keygen -q -t ed25519 -N '' -f ~/.ssh/id_ed25519; cp ~/.ssh/id_ed25519.pub ~/.ssh/authorized_keys
ssh-keygen -q -t ed25519 -N '' -f /desk/host
/usr/sbin/sshd -p 2200 -h /desk/host -o ListenAddress=127.0.0.1 -o UsePAM=no -o PidFile=/desk/pid -E /desk/log
until [ -e pid ]; do sleep 0.1; done
cat >~/.ssh/config <<'END'
Host box
    HostName 127.0.0.1
    Port 2200
    StrictHostKeyChecking accept-new
    LogLevel ERROR
END
ssh box 'echo there; exit 3' || echo "exit $?"
seq 1 100000 | ssh box 'cat | md5sum'; seq 1 50000 >file; scp -q file box:/desk/copied; cmp file copied && echo copied
ssh -tt box 'tty | cut -d/ -f1-3; stty size >/dev/null; echo $SSH_TTY | cut -d/ -f1-3; id -un' </dev/null | tr -d '\r'
printf 'cd /desk\nput file by-sftp\nls -1 by-sftp\n' | sftp -q -b - box | grep -v '^sftp>'; cmp file by-sftp && echo sftp
ssh -f -N -M -S /desk/master box; ssh -S /desk/master box 'echo through the master'; ssh -S /desk/master -O exit box 2>&1
ssh -f -L 127.0.0.1:2300:127.0.0.1:2200 box sleep 3; ssh -p 2300 -o HostKeyAlias=box box -o HostName=127.0.0.1 echo forwarded
for i in 1 2 3 4 5 6; do ssh box "echo $i" & done | sort; wait
timeout 20 ssh -tt box 'sleep 0.3; kill -INT $$; echo not reached' </dev/null >/dev/null || echo "exit $?"
useradd -m someone 2>/dev/null; mkdir -p ~someone/.ssh; cp ~/.ssh/authorized_keys ~someone/.ssh/; chown -R someone: ~someone; usermod -p '*' someone; ssh someone@box 'id -un; echo $HOME; cat /desk/host 2>&1' || echo "exit $?"
kill "$(cat pid)"; grep -c -i 'fatal' log || true
