//! The line discipline: what becomes of what is typed, and of what is written.

use std::collections::VecDeque;

use super::termios::{Termios, input, local, output, special};

/// Bytes that wait to be read, at most.
const ROOM: usize = 4095;
/// Bytes of output that wait for the other side before writers have to.
const OUTPUT_ROOM: usize = 16 << 10;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Cell {
    byte: u8,
    /// It ends a line.
    ends: bool,
    /// It stands for the end of the file, and is not read.
    eof: bool,
}

/// Both directions of a terminal.
#[derive(Debug, Default)]
pub(super) struct Line {
    cells: VecDeque<Cell>,
    /// Cells at the front that belong to lines that are complete.
    complete: usize,
    /// What ended the line that was read last, if it was read to its end.
    ended: Option<Cell>,
    /// The next byte has no special meaning.
    literal: bool,
    /// What waits for the other side.
    output: VecDeque<u8>,
    /// Output before what was typed last came in: a signal takes later echoes back.
    mark: usize,
    column: usize,
    /// Where the line that is being typed begins.
    start: usize,
    /// Output was stopped (`IXON`, or by a call).
    pub(super) stopped: bool,
}

fn is_control(byte: u8) -> bool {
    byte < 0x20 || byte == 0x7f
}

fn continues(termios: &Termios, byte: u8) -> bool {
    termios.input & input::IUTF8 != 0 && byte & 0xc0 == 0x80
}

impl Line {
    /// Writes, as far as there is room.
    pub(super) fn write(&mut self, termios: &Termios, bytes: &[u8]) -> usize {
        let mut done = 0;
        for byte in bytes {
            if self.output.len() >= OUTPUT_ROOM || self.stopped {
                break;
            }
            self.put(termios, *byte);
            done += 1;
        }
        done
    }

    pub(super) fn has_output_room(&self) -> bool {
        !self.stopped && self.output.len() < OUTPUT_ROOM
    }

    /// Takes what was written.
    pub(super) fn take_output(&mut self, into: &mut [u8]) -> usize {
        let count = into.len().min(self.output.len());
        for (to, from) in into.iter_mut().zip(self.output.drain(..count)) {
            *to = from;
        }
        count
    }

    /// Puts back the end of what was taken last.
    pub(super) fn put_output_back(&mut self, bytes: &[u8]) {
        bytes.iter().rev().for_each(|byte| self.output.push_front(*byte));
    }

    /// Bytes that were written and not taken.
    pub(super) fn output_waiting(&self) -> usize {
        self.output.len()
    }

    pub(super) fn flush_output(&mut self) {
        self.output.clear();
    }

    pub(super) fn flush_input(&mut self) {
        self.cells.clear();
        self.complete = 0;
        self.literal = false;
    }

    fn put(&mut self, termios: &Termios, byte: u8) {
        let has = |flag: u32| termios.output & flag == flag;
        if !has(output::OPOST) {
            self.output.push_back(byte);
            return;
        }
        match byte {
            b'\n' => {
                if has(output::ONLCR) {
                    self.output.push_back(b'\r');
                }
                if has(output::ONLCR) || has(output::ONLRET) {
                    self.column = 0;
                }
                self.output.push_back(b'\n');
            }
            b'\r' if has(output::ONOCR) && self.column == 0 => {}
            b'\r' if has(output::OCRNL) => {
                if has(output::ONLRET) {
                    self.column = 0;
                }
                self.output.push_back(b'\n');
            }
            b'\r' => {
                self.column = 0;
                self.output.push_back(b'\r');
            }
            b'\t' => {
                let spaces = 8 - self.column % 8;
                self.column += spaces;
                if has(output::XTABS) {
                    self.output.extend(std::iter::repeat_n(b' ', spaces));
                } else {
                    self.output.push_back(b'\t');
                }
            }
            8 => {
                self.column = self.column.saturating_sub(1);
                self.output.push_back(8);
            }
            _ => {
                let byte = if has(output::OLCUC) { byte.to_ascii_uppercase() } else { byte };
                if !is_control(byte) && !continues(termios, byte) {
                    self.column += 1;
                }
                self.output.push_back(byte);
            }
        }
    }

    fn echo(&mut self, termios: &Termios, byte: u8) {
        // Nobody looks: it is lost.
        if self.output.len() >= OUTPUT_ROOM {
            return;
        }
        if termios.local & local::ECHOCTL != 0 && is_control(byte) && byte != b'\t' {
            self.put(termios, b'^');
            self.put(termios, byte ^ 0x40);
        } else {
            self.put(termios, byte);
        }
    }

    /// Whether another byte can be typed.
    pub(super) fn has_room(&self, termios: &Termios) -> bool {
        // A line that is too long loses its end, so that it can be ended.
        self.cells.len() < ROOM || (termios.is_canonical() && self.complete == 0)
    }

    fn push(&mut self, termios: &Termios, cell: Cell) {
        let room = if cell.ends { ROOM + 1 } else { ROOM };
        if self.cells.len() >= room {
            if termios.input & input::IMAXBEL != 0 && self.output.len() < OUTPUT_ROOM {
                self.put(termios, 7);
            }
            return;
        }
        self.cells.push_back(cell);
        if cell.ends || !termios.is_canonical() {
            self.complete = self.cells.len();
        }
    }

    /// Some bytes are about to be typed at once.
    pub(super) fn begin(&mut self) {
        self.mark = self.output.len();
    }

    /// A byte was typed. Returns the signal that it stands for.
    pub(super) fn receive(&mut self, termios: &Termios, byte: u8) -> Option<i32> {
        let has = |flag: u32| termios.local & flag != 0;
        let takes = |flag: u32| termios.input & flag != 0;
        if std::mem::take(&mut self.literal) {
            self.typed(termios, byte);
            return None;
        }
        let mut byte = if takes(input::ISTRIP) { byte & 0x7f } else { byte };
        if takes(input::IUCLC) && has(local::IEXTEN) {
            byte = byte.to_ascii_lowercase();
        }
        let is = |which: usize| termios.special(which) == Some(byte);
        if takes(input::IXON) && (is(special::START) || is(special::STOP)) {
            self.stopped = is(special::STOP);
            return None;
        }
        if self.stopped && takes(input::IXON) && takes(input::IXANY) {
            self.stopped = false;
        }
        if has(local::ISIG) {
            let signals = [(special::INTR, 2), (special::QUIT, 3), (special::SUSP, 20)];
            if let Some((_, signal)) = signals.into_iter().find(|(which, _)| is(*which)) {
                if !has(local::NOFLSH) {
                    self.flush_input();
                    self.output.truncate(self.mark);
                }
                if takes(input::IXON) {
                    self.stopped = false;
                }
                if has(local::ECHO) {
                    self.echo(termios, byte);
                }
                return Some(signal);
            }
        }
        byte = match byte {
            b'\r' if takes(input::IGNCR) => return None,
            b'\r' if takes(input::ICRNL) => b'\n',
            b'\n' if takes(input::INLCR) => b'\r',
            other => other,
        };
        if has(local::ICANON) && self.edited(termios, byte) {
            return None;
        }
        self.typed(termios, byte);
        None
    }

    /// A byte without a meaning of its own.
    fn typed(&mut self, termios: &Termios, byte: u8) {
        if self.cells.len() == self.complete {
            self.start = self.column;
        }
        if termios.local & local::ECHO != 0 {
            if byte == b'\n' {
                self.put(termios, byte);
            } else {
                self.echo(termios, byte);
            }
        }
        self.push(termios, Cell { byte, ends: false, eof: false });
    }

    /// Bytes that edit or end a line; false if this is none of them.
    fn edited(&mut self, termios: &Termios, byte: u8) -> bool {
        let has = |flag: u32| termios.local & flag != 0;
        let is = |which: usize| termios.special(which) == Some(byte);
        let extended = has(local::IEXTEN);
        if is(special::ERASE) || is(special::KILL) || (is(special::WERASE) && extended) {
            self.erase(termios, byte, is(special::KILL), !is(special::ERASE));
        } else if is(special::LNEXT) && extended {
            self.literal = true;
            if has(local::ECHO) && has(local::ECHOCTL) {
                self.put(termios, b'^');
                self.put(termios, 8);
            }
        } else if is(special::REPRINT) && extended && has(local::ECHO) {
            self.echo(termios, byte);
            self.put(termios, b'\n');
            let typed: Vec<u8> = self.cells.range(self.complete..).map(|c| c.byte).collect();
            typed.into_iter().for_each(|byte| self.echo(termios, byte));
        } else if byte == b'\n' {
            if has(local::ECHO) || has(local::ECHONL) {
                self.put(termios, b'\n');
            }
            self.push(termios, Cell { byte, ends: true, eof: false });
        } else if is(special::EOF) {
            self.push(termios, Cell { byte: 0, ends: true, eof: true });
        } else if is(special::EOL) || (is(special::EOL2) && extended) {
            if has(local::ECHO) {
                self.echo(termios, byte);
            }
            self.push(termios, Cell { byte, ends: true, eof: false });
        } else {
            return false;
        }
        true
    }

    fn erase(&mut self, termios: &Termios, byte: u8, all: bool, word: bool) {
        let has = |flag: u32| termios.local & flag != 0;
        if self.cells.len() == self.complete {
            return;
        }
        if all
            && !(has(local::ECHO) && has(local::ECHOK) && has(local::ECHOKE) && has(local::ECHOE))
        {
            self.cells.truncate(self.complete);
            if has(local::ECHO) {
                self.echo(termios, byte);
                if has(local::ECHOK) {
                    self.put(termios, b'\n');
                }
            }
            return;
        }
        let mut seen = false;
        while self.cells.len() > self.complete {
            let Some(last) = self.cells.back().map(|cell| cell.byte) else { return };
            let letter = last.is_ascii_alphanumeric() || last == b'_' || last >= 0x80;
            if word && !all && seen && !letter {
                return;
            }
            seen |= letter;
            self.cells.pop_back();
            // The rest of a character of several bytes.
            let mut lead = last;
            while continues(termios, lead) && self.cells.len() > self.complete {
                match self.cells.pop_back() {
                    Some(cell) => lead = cell.byte,
                    None => break,
                }
            }
            if has(local::ECHO) {
                if has(local::ECHOE) || word {
                    self.wipe(termios, last);
                } else {
                    self.echo(termios, byte);
                }
            }
            if !word && !all {
                return;
            }
        }
    }

    /// Takes the last character that was echoed off the screen.
    fn wipe(&mut self, termios: &Termios, byte: u8) {
        if self.output.len() >= OUTPUT_ROOM {
            return;
        }
        let controls = termios.local & local::ECHOCTL != 0;
        let width = |byte: u8| match byte {
            _ if continues(termios, byte) => 0,
            _ if is_control(byte) => {
                if controls {
                    2
                } else {
                    0
                }
            }
            _ => 1,
        };
        if byte == b'\t' {
            let typed = self.cells.range(self.complete..).map(|c| c.byte);
            let before = typed.fold(self.start, |column, byte| match byte {
                b'\t' => column + 8 - column % 8,
                _ => column + width(byte),
            });
            for _ in 0..8 - before % 8 {
                self.put(termios, 8);
            }
            return;
        }
        // A character of several bytes has one place.
        let places = if byte >= 0x80 { 1 } else { width(byte) };
        for _ in 0..places {
            for part in [8, b' ', 8] {
                self.put(termios, part);
            }
        }
    }

    /// Bytes that a read would get.
    pub(super) fn readable(&self, termios: &Termios) -> usize {
        if termios.is_canonical() { self.complete } else { self.cells.len() }
    }

    /// Reads: a line or part of one, or what is there; `None` if nothing can be
    /// read.
    pub(super) fn read(&mut self, termios: &Termios, into: &mut [u8]) -> Option<usize> {
        if self.readable(termios) == 0 {
            return None;
        }
        let canonical = termios.is_canonical();
        self.ended = None;
        let mut done = 0;
        while let Some(room) = into.get_mut(done) {
            if canonical && self.complete == 0 {
                break;
            }
            let Some(cell) = self.cells.pop_front() else { break };
            self.complete = self.complete.saturating_sub(1);
            if !(cell.eof && canonical) {
                *room = cell.byte;
                done += 1;
            }
            if canonical && cell.ends {
                self.ended = Some(cell);
                break;
            }
        }
        Some(done)
    }

    /// Puts back the end of what was read last.
    pub(super) fn put_back(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let plain = |byte: &u8| Cell { byte: *byte, ends: false, eof: false };
        let mut cells: Vec<Cell> = bytes.iter().map(plain).collect();
        if let Some(end) = self.ended.take() {
            if !end.eof {
                cells.pop();
            }
            cells.push(end);
        }
        self.complete += cells.len();
        cells.into_iter().rev().for_each(|cell| self.cells.push_front(cell));
    }

    /// The modes changed between lines and single bytes: what was typed so far can be
    /// read.
    pub(super) fn switch(&mut self) {
        self.complete = self.cells.len();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(line: &mut Line, termios: &Termios, text: &[u8]) -> Vec<i32> {
        text.iter().filter_map(|byte| line.receive(termios, *byte)).collect()
    }

    fn read(line: &mut Line, termios: &Termios) -> Option<Vec<u8>> {
        let mut room = [0; 100];
        line.read(termios, &mut room).map(|n| room[..n].to_vec())
    }

    fn shown(line: &mut Line) -> String {
        let mut room = [0; 200];
        let count = line.take_output(&mut room);
        String::from_utf8_lossy(&room[..count]).into_owned()
    }

    #[test]
    fn lines_are_edited_echoed_and_read_whole() {
        let (mut line, termios) = (Line::default(), Termios::default());
        typed(&mut line, &termios, b"ab");
        assert_eq!(read(&mut line, &termios), None);
        typed(&mut line, &termios, b"\x7fc\rnext");
        assert_eq!(read(&mut line, &termios).unwrap(), b"ac\n");
        assert_eq!(read(&mut line, &termios), None);
        assert_eq!(shown(&mut line), "ab\u{8} \u{8}c\r\nnext");
        typed(&mut line, &termios, b" two words\x17\x17\x16\x03\x04");
        assert_eq!(read(&mut line, &termios).unwrap(), b"next \x03");
        typed(&mut line, &termios, b"gone\x15\x04");
        assert_eq!(read(&mut line, &termios).unwrap(), b"");
    }

    #[test]
    fn signals_flush_and_flow_control_holds_output() {
        let (mut line, termios) = (Line::default(), Termios::default());
        assert_eq!(typed(&mut line, &termios, b"x\x03\x1a\x1c"), [2, 20, 3]);
        assert_eq!(read(&mut line, &termios), None);
        assert_eq!(line.write(&termios, b"a\n"), 2);
        typed(&mut line, &termios, b"\x13");
        assert_eq!(line.write(&termios, b"b"), 0);
        typed(&mut line, &termios, b"\x11");
        assert_eq!(line.write(&termios, b"b"), 1);
        assert!(shown(&mut line).ends_with("^\\a\r\nb"));
    }

    #[test]
    fn echoes_that_nobody_looks_at_are_lost() {
        let (mut line, termios) = (Line::default(), Termios::default());
        for _ in 0..4 * OUTPUT_ROOM {
            typed(&mut line, &termios, b"x\x15");
        }
        assert!(line.output_waiting() < OUTPUT_ROOM + 16, "{}", line.output_waiting());
        typed(&mut line, &termios, b"end\n");
        assert_eq!(read(&mut line, &termios).unwrap(), b"end\n");
    }

    #[test]
    fn raw_bytes_are_what_they_are_and_too_many_wait() {
        let mut line = Line::default();
        let raw = Termios::default().changed(&[0; 16]);
        assert!(typed(&mut line, &raw, b"\x03\x04\r\n").is_empty());
        assert_eq!(read(&mut line, &raw).unwrap(), b"\x03\x04\r\n");
        assert_eq!(shown(&mut line), "");
        for _ in 0..ROOM {
            assert!(line.has_room(&raw));
            line.receive(&raw, b'x');
        }
        assert!(!line.has_room(&raw));
    }
}
