//! Stream to frames: where one ends, found once however the stream is cut, with each limit checked before more is waited
//! for.
//!
//! What an incomplete frame has shown stays known, so that a frame that comes octet by octet is not read from its start
//! each time.

use memchr::memchr2;

use crate::wire::{Command, Frame, Headers};
use crate::{Error, Malformed, Refused, Version};

/// What a frame may have ("Size Limits").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLimits {
    /// Octets of the whole frame.
    pub frame_octets_max: usize,
    /// Octets of command and headers.
    pub head_octets_max: usize,
    /// Headers.
    pub headers_max: usize,
}

/// How far the frame at the start of the input is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Framing {
    /// Octets in which the end of the present part was looked for.
    scanned: usize,
    /// Where the present line begins.
    line: usize,
    /// Lines that have ended, the command's included.
    lines: usize,
    /// The command, once its line has ended, and where the headers begin.
    command: Option<(Command, usize)>,
    /// The head, once it is whole.
    head: Option<Head>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    /// Where the headers end, and the body begins.
    headers_end: usize,
    body: usize,
    /// Octets of the body: said, or because the frame has ended without one.
    length: Option<usize>,
    /// Whether the NUL is already there: a frame without a blank line.
    is_ended: bool,
}

impl Framing {
    /// Takes the ends of lines before a frame: what follows a NUL, and heart-beats. Returns whether a frame may begin.
    pub fn skip_ends(&self, input: &mut &[u8]) -> bool {
        if self.scanned > 0 {
            return true;
        }
        loop {
            match input {
                [b'\n', rest @ ..] | [b'\r', b'\n', rest @ ..] => *input = rest,
                [] | [b'\r'] => return false,
                _ => return true,
            }
        }
    }

    /// The frame at the start of `input`, if all of it is there. It stays there until [`Framing::consume`].
    ///
    /// # Errors
    /// What is there begins no frame, or one that is larger than is allowed. Each is found at the first octet that shows it.
    pub fn next<'b>(
        &mut self,
        input: &'b [u8],
        version: Version,
        limits: &FrameLimits,
    ) -> Result<Option<(Frame<'b>, usize)>, Error> {
        let Some(head) = self.head(input, version, limits)? else { return Ok(None) };
        let Some((command, headers_at)) = self.command else { return Ok(None) };
        let Some(end) = self.body_end(input, head, limits)? else { return Ok(None) };
        let lines = input.get(headers_at..head.headers_end).unwrap_or_default();
        let headers = Headers::decode(lines, command.header_rules(version))?;
        let body = input.get(head.body..end).unwrap_or_default();
        let octets = input.get(headers_at..end).unwrap_or_default();
        Ok(Some((Frame { command, headers, body, octets }, end + 1)))
    }

    /// The command of the frame at the start of the input, once it is known.
    #[must_use]
    pub fn command(&self) -> Option<Command> {
        self.command.map(|(command, _)| command)
    }

    /// Takes a frame of `octets` from the input.
    pub fn consume(&mut self, input: &mut &[u8], octets: usize) {
        *input = input.get(octets..).unwrap_or_default();
        *self = Self::default();
    }

    /// Reads on in the lines of the head.
    fn head(&mut self, input: &[u8], version: Version, limits: &FrameLimits) -> Result<Option<Head>, Error> {
        while self.head.is_none() {
            let unread = input.get(self.scanned..).unwrap_or_default();
            let Some(found) = memchr2(b'\n', 0, unread) else {
                self.scanned = input.len();
                self.check_partial(input, limits)?;
                return Ok(None);
            };
            let at = self.scanned + found;
            if at >= limits.head_octets_max {
                return Err(Refused::HeadTooLarge.into());
            }
            self.end_line(input, at, version, limits)?;
            self.scanned = at + 1;
        }
        Ok(self.head)
    }

    /// Hears that a line of the head ends at `at`, with a line feed or, wrongly, with the NUL.
    fn end_line(
        &mut self,
        input: &[u8],
        at: usize,
        version: Version,
        limits: &FrameLimits,
    ) -> Result<(), Error> {
        let line = &input[self.line..at];
        let is_nul = input[at] == 0;
        let Some((command, headers_at)) = self.command else {
            let name = line.strip_suffix(b"\r").unwrap_or(line);
            let command = Command::from_octets(name).filter(|_| !is_nul).ok_or(Malformed::Command)?;
            (self.command, self.line) = (Some((command, at + 1)), at + 1);
            return Ok(());
        };
        let headers_end = self.line;
        if line.is_empty() && is_nul {
            // The example of DISCONNECT in the specification has no blank line either.
            self.head = Some(Head { headers_end, body: at, length: Some(0), is_ended: true });
        } else if is_nul {
            return Err(Malformed::NulInHead.into());
        } else if matches!(line, [] | b"\r") {
            let length = said_length(&input[headers_at..headers_end], command, version)?;
            let body = at + 1;
            if length.is_some_and(|octets| octets >= limits.frame_octets_max.saturating_sub(body)) {
                return Err(Refused::FrameTooLarge.into());
            }
            self.head = Some(Head { headers_end, body, length, is_ended: false });
        } else {
            (self.line, self.lines) = (at + 1, self.lines + 1);
            if self.lines > limits.headers_max {
                return Err(Refused::TooManyHeaders.into());
            }
        }
        Ok(())
    }

    /// Checks what is there of a head whose line has not ended.
    fn check_partial(&self, input: &[u8], limits: &FrameLimits) -> Result<(), Error> {
        if self.command.is_none() {
            let name = input.strip_suffix(b"\r").unwrap_or(input);
            if !Command::may_begin(name) {
                return Err(Malformed::Command.into());
            }
        }
        if input.len() >= limits.head_octets_max { Err(Refused::HeadTooLarge.into()) } else { Ok(()) }
    }

    /// Where the NUL behind the body is.
    fn body_end(&mut self, input: &[u8], head: Head, limits: &FrameLimits) -> Result<Option<usize>, Error> {
        if head.is_ended {
            return Ok(Some(head.body));
        }
        if let Some(length) = head.length {
            let end = head.body + length;
            return match input.get(end) {
                None => Ok(None),
                Some(0) => Ok(Some(end)),
                Some(_) => Err(Malformed::BodyWithoutEnd.into()),
            };
        }
        let from = self.scanned.max(head.body);
        let found = memchr::memchr(0, input.get(from..).unwrap_or_default());
        let seen = found.map_or(input.len(), |at| from + at);
        if seen >= limits.frame_octets_max {
            return Err(Refused::FrameTooLarge.into());
        }
        self.scanned = seen;
        Ok(found.map(|_| seen))
    }
}

/// What `content-length` says, the first of several.
fn said_length(lines: &[u8], command: Command, version: Version) -> Result<Option<usize>, Error> {
    const NAME: &[u8] = b"content-length";
    let rules = command.header_rules(version);
    for line in lines.split(|&octet| octet == b'\n') {
        let Some(colon) = line.iter().position(|&octet| octet == b':') else { continue };
        let (mut name, mut value) = (&line[..colon], &line[colon + 1..]);
        if rules.cr_ends_lines {
            value = value.strip_suffix(b"\r").unwrap_or(value);
        }
        if rules.pads {
            (name, value) = (name.trim_ascii(), value.trim_ascii());
        }
        if name == NAME {
            return length(value).map(Some);
        }
    }
    Ok(None)
}

fn length(digits: &[u8]) -> Result<usize, Error> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return Err(Malformed::ContentLength.into());
    }
    // More than fits is more than is allowed.
    let number = core::str::from_utf8(digits).ok().and_then(|digits| digits.parse().ok());
    Ok(number.unwrap_or(usize::MAX))
}

#[cfg(test)]
mod tests;
