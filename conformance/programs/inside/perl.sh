#!/bin/bash
# forms: short whole; seconds: 90
# perl: text, sorting, files, processes, pipes, sockets, signals, shared memory, prove.
set -eu
mkdir /desk && cd /desk
cat >work.pl <<'END'
use strict; use warnings; use Test::More; use File::Temp qw(tempfile tempdir); use File::Find; use File::Copy; use POSIX qw(:sys_wait_h :signal_h :fcntl_h strftime setsid);
use IO::Socket::INET; use IO::Socket::UNIX; use IO::Select; use Socket; use Time::HiRes qw(sleep alarm time); use Fcntl qw(:flock :mode); use Digest::SHA qw(sha256_hex); use Storable; use IPC::Open3; use Encode; use Data::Dumper; use Errno;
my %count; $count{length $_}++ for map { $_ x ($_ % 7) } 1 .. 20_000; is_deeply([map { $count{$_} } sort { $a <=> $b } keys %count], [map { $count{$_} } sort { $a <=> $b } keys %count], 'hash');
is(sha256_hex(join ',', sort { $a cmp $b } map { $_ * 7919 % 100_003 } 1 .. 50_000), sha256_hex(join ',', sort map { $_ * 7919 % 100_003 } 1 .. 50_000), 'sort');
my $dir = tempdir(CLEANUP => 1); for my $i (1 .. 200) { mkdir "$dir/" . $i % 10; open my $f, '>', "$dir/" . ($i % 10) . "/$i" or die; print $f "line $_\n" for 1 .. $i; close $f }
my ($files, $bytes) = (0, 0); find(sub { if (-f) { $files++; $bytes += -s _ } }, $dir); is("$files $bytes", '200 164187', 'find') or diag("$files $bytes");
{ local @ARGV = glob "$dir/3/*"; local $^I = '.bak'; while (<>) { s/line/LINE/; print } } is(scalar(() = glob "$dir/3/*.bak"), 20, 'edit in place');
my @st = stat "$dir/3/3"; is(S_IMODE($st[2]), 0666 & ~umask, 'mode'); ok(utime(1000, 2000, "$dir/3/3") && (stat "$dir/3/3")[9] == 2000, 'utime'); ok(!-e "$dir/none" && $!{ENOENT}, 'errno');
my @kids; for my $i (1 .. 20) { my $pid = fork; if (!$pid) { POSIX::_exit($i) } push @kids, $pid } my $sum = 0; for (@kids) { waitpid $_, 0; $sum += $? >> 8 } is($sum, 210, 'fork and wait');
pipe(my $r, my $w); if (!fork) { close $r; print $w "x" x 1_000_000; close $w; POSIX::_exit(0) } close $w; my $got = do { local $/; <$r> }; is(length $got, 1_000_000, 'pipe'); wait;
is(`echo out; exit 3`, "out\n", 'backticks'); is($? >> 8, 3, 'its exit'); my $pid = open3(my $in, my $out, undef, 'tr a-z A-Z'); print $in "abc\n"; close $in; is(<$out>, "ABC\n", 'open3'); waitpid $pid, 0;
my @heard; local $SIG{USR1} = sub { push @heard, 'usr1' }; kill USR1 => $$; is("@heard", 'usr1', 'signal'); my $late = 0; local $SIG{ALRM} = sub { $late = 1; die "late\n" }; eval { alarm 0.2; select undef, undef, undef, 30; }; is($late, 1, 'alarm ends select');
my $set = POSIX::SigSet->new(SIGUSR1); sigprocmask(SIG_BLOCK, $set); kill USR1 => $$; my $pending = POSIX::SigSet->new; POSIX::sigpending($pending); ok($pending->ismember(SIGUSR1), 'pending'); sigprocmask(SIG_UNBLOCK, $set); is(scalar @heard, 2, 'unblocked');
my $server = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1', Proto => 'tcp', ReuseAddr => 1) or die; my $port = $server->sockport; if (!fork) { for (1 .. 5) { my $c = $server->accept; while (my $l = <$c>) { print $c scalar reverse $l } } POSIX::_exit(0) }
for my $i (1 .. 5) { my $c = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") or die $!; print $c "hello$i\n"; shutdown $c, 1; my $l = do { local $/; <$c> }; is($l, "\n${i}olleh", "tcp $i") } wait;
my $u = IO::Socket::UNIX->new(Local => "$dir/sock", Listen => 1) or die; if (!fork) { my $c = IO::Socket::UNIX->new(Peer => "$dir/sock"); print $c "unix\n"; POSIX::_exit(0) } is(scalar readline($u->accept), "unix\n", 'unix socket'); wait;
socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, PF_UNSPEC); syswrite $a, 'pair'; sysread $b, my $p, 10; is($p, 'pair', 'socketpair'); my $select = IO::Select->new($b); my @none = $select->can_read(0); is(scalar(@none), 0, 'select'); 
open my $l1, '>', "$dir/lock"; flock $l1, LOCK_EX; open my $l2, '>', "$dir/lock"; ok(!flock($l2, LOCK_EX | LOCK_NB) && $!{EWOULDBLOCK}, 'flock'); close $l1; ok(flock($l2, LOCK_EX | LOCK_NB), 'flock after close');
store({ a => [1 .. 5] }, "$dir/s"); is(retrieve("$dir/s")->{a}[4], 5, 'storable'); copy("$dir/5/5", "$dir/c") ; is(-s "$dir/c", -s "$dir/5/5", 'copy'); rename "$dir/c", "$dir/d"; symlink 'd', "$dir/e"; is(readlink "$dir/e", 'd', 'symlink'); truncate "$dir/d", 3; is(-s "$dir/d", 3, 'truncate'); opendir my $dh, $dir; is(scalar(grep { !/^\./ } readdir $dh), 15, 'readdir');
require IPC::SysV; my $id = shmget(0, 4096, 0600 | 01000); ok(defined $id, 'shmget'); shmwrite $id, 'shared', 0, 6; my $seen; shmread $id, $seen, 0, 6; is($seen, 'shared', 'shm'); shmctl $id, 0, 0;
is(strftime('%F %T', gmtime 1_000_000_000), '2001-09-09 01:46:40', 'time'); is(length encode('UTF-8', "\x{1F600}" x 3), 12, 'utf-8'); my $t = time; sleep 0.1; ok(time - $t >= 0.099, 'sleep'); is(getppid() > 0, 1, 'parent'); ok(setsid() || $!{EPERM}, 'setsid'); is((getpwuid 0)[0], 'root', 'passwd'); is((gethostbyname 'localhost')[0], 'localhost', 'hosts');
my $x = 'a' x 10_000; my $re = 0; $re++ while $x =~ /a{7}/g; is($re, 1428, 'regex'); done_testing;
END
perl work.pl
mkdir t; for i in 1 2 3; do printf 'use Test::More tests => 1; ok(%d);' "$i" >"t/$i.t"; done; prove -j 2 t | sort | grep -v wallclock
echo 'b a c' | perl -lane 'print join " ", sort @F'; perl -e 'exec "sh", "-c", "exit 7"' || echo "exit $?"; perl -e 'kill 9, $$' || echo "exit $?"; perl -MConfig -e 'print "$Config{archname}\n"'; perl -e 'print STDOUT sort map { "$_\n" } grep { /^HOME|^TZ/ } keys %ENV'
