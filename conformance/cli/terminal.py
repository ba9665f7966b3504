#!/usr/bin/env python3
"""Talks to a shell behind a pseudo-terminal: terminal.py COMMAND...

The command has to end in a POSIX shell. Prints what was found, one `name
value` line each: the window's size, its size after the window was changed, the
terminal's name, whether Ctrl-C reached a program, and the exit status of the
command after the shell was told `exit 7`.
"""

import fcntl
import os
import pty
import re
import select
import signal
import struct
import sys
import termios
import time


class Session:
    def __init__(self, command):
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.execvp(command[0], command)
        self.seen = ""

    def resize(self, rows, columns):
        fcntl.ioctl(self.terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def write(self, text):
        os.write(self.terminal, text.encode())

    def expect(self, pattern, seconds=10):
        """Reads until the pattern is found in what is new; returns the match."""
        end = time.monotonic() + seconds
        while not (found := re.search(pattern, self.seen)):
            left = end - time.monotonic()
            if left <= 0 or not select.select([self.terminal], [], [], left)[0]:
                sys.exit(f"terminal.py: waited in vain for {pattern!r}; seen: {self.seen!r}")
            try:
                data = os.read(self.terminal, 4096)
            except OSError:
                data = b""
            if not data:
                sys.exit(f"terminal.py: the end came before {pattern!r}; seen: {self.seen!r}")
            self.seen += data.decode(errors="replace")
        self.seen = self.seen[found.end():]
        return found

    def ask(self, command):
        """Runs a command in the shell; returns the line that it prints."""
        # Split words: the echo of what is typed does not match.
        self.write(f"echo be''gin; {command}; echo e''nd\n")
        return self.expect(r"begin\r\n((?s:.*?))\r?\n?end\r\n").group(1).strip()


def main():
    session = Session(sys.argv[1:])
    session.resize(30, 100)
    # Who starts with another size is told of this one by SIGWINCH.
    session.write("echo rea''dy\n")
    session.expect("ready\r\n", 30)
    time.sleep(0.3)
    print("size", session.ask("stty size"))
    session.resize(41, 121)
    time.sleep(0.5)
    print("resized", session.ask("stty size"))
    print("terminal", session.ask("tty"))
    session.write("echo wai''ting; sleep 60; echo interru''pted $?\n")
    session.expect("waiting\r\n")
    time.sleep(0.3)
    session.write("\x03")
    session.write("\necho af''ter\n")
    session.expect("after\r\n")
    print("interrupted yes")
    session.write("exit 7\n")
    end = time.monotonic() + 10
    while time.monotonic() < end:
        if select.select([session.terminal], [], [], 0.1)[0]:
            try:
                os.read(session.terminal, 4096)
            except OSError:
                pass
        pid, status = os.waitpid(session.pid, os.WNOHANG)
        if pid:
            print("status", os.waitstatus_to_exitcode(status))
            return
    os.kill(session.pid, signal.SIGKILL)
    sys.exit("terminal.py: the command goes on after the shell's exit")


if __name__ == "__main__":
    main()
