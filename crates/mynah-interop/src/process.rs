//! A program as a child process: what it says is kept line by line and can be waited for, and it never outlives its
//! test. If the test fails, all that the program said is printed.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::iter;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError, Sender};
use std::thread;
use std::time::{Duration, Instant};

/// How long anything is waited for.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// What the programs of others come from.
const PACKAGES: &[(&str, &str)] = &[
    ("/usr/sbin/mosquitto", "the Debian package mosquitto"),
    ("mosquitto_pub", "the Debian package mosquitto-clients"),
    ("mosquitto_sub", "the Debian package mosquitto-clients"),
    ("mosquitto_passwd", "the Debian package mosquitto"),
    ("/usr/sbin/slapd", "the Debian package slapd"),
    ("/usr/sbin/slapadd", "the Debian package slapd"),
    ("curl", "the Debian package curl"),
    ("openssl", "the Debian package openssl"),
    ("sslscan", "the Debian package sslscan"),
    ("python3", "the Debian package python3"),
    ("stdbuf", "the Debian package coreutils"),
];

/// Which of a program's outputs a line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Source {
    Output,
    Error,
}

/// How a program ended.
#[derive(Debug)]
pub struct Finished {
    /// Exit code; none if a signal ended the program.
    pub code: Option<i32>,
    /// What it wrote to standard output, as far as nobody had waited for it.
    pub output: String,
    /// The same of standard error.
    pub error: String,
}

impl Finished {
    /// Standard output of a program that has to end well.
    ///
    /// # Panics
    ///
    /// If it did not.
    #[must_use]
    #[track_caller]
    pub fn success(self) -> String {
        assert!(self.code == Some(0), "the program failed: {self:#?}");
        self.output
    }
}

/// A command for a program that would otherwise keep its words to itself for a while when no terminal listens.
///
/// # Panics
///
/// If the program is not installed, with what to install.
#[must_use]
#[track_caller]
pub fn line_buffered(program: &str) -> Command {
    let folders = std::env::var_os("PATH").unwrap_or_default();
    let is_there = std::env::split_paths(&folders).any(|folder| folder.join(program).is_file());
    assert!(is_there, "{}", missing(program));
    let mut command = Command::new("stdbuf");
    command.args(["-oL", program]);
    command
}

/// A running program. Killed when the value goes.
#[derive(Debug)]
pub struct Process {
    /// Its command line.
    name: String,
    child: Child,
    lines: Receiver<(Source, String)>,
    /// Lines that were waited for or passed over, for whoever looks for the fault.
    said: Vec<String>,
}

impl Process {
    /// Starts a program without input.
    ///
    /// # Panics
    ///
    /// If it does not start; if it is not installed, with what to install.
    #[must_use]
    #[track_caller]
    pub fn start(command: &mut Command) -> Self {
        Self::start_with(command, Vec::new())
    }

    /// Starts a program with `input` as its standard input.
    ///
    /// # Panics
    ///
    /// As [`Process::start`].
    #[must_use]
    #[track_caller]
    pub fn start_with(command: &mut Command, input: Vec<u8>) -> Self {
        let program = command.get_program().to_string_lossy().into_owned();
        let words = iter::once(program.as_str().into()).chain(command.get_args().map(OsStr::to_string_lossy));
        let name = words.collect::<Vec<_>>().join(" ");
        let spawned = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let mut child = match spawned {
            Ok(child) => child,
            Err(error) if error.kind() == ErrorKind::NotFound => panic!("{}", missing(&program)),
            Err(error) => panic!("{name} does not start: {error}"),
        };
        let (sender, lines) = mpsc::channel();
        if let Some(mut stdin) = child.stdin.take() {
            // A program that ends without having read all is judged by its answer.
            thread::spawn(move || stdin.write_all(&input));
        }
        listen(child.stdout.take(), Source::Output, sender.clone());
        listen(child.stderr.take(), Source::Error, sender);
        Self { name, child, lines, said: Vec::new() }
    }

    /// The next line, of either output and without its end, that `is_wanted`; the lines before it are passed over.
    ///
    /// # Panics
    ///
    /// If there is none within [`PATIENCE`].
    #[track_caller]
    pub fn line(&mut self, wanted: &str, is_wanted: impl Fn(&str) -> bool) -> String {
        let deadline = Instant::now() + PATIENCE;
        loop {
            match self.next(deadline) {
                Ok((_, mut line)) => {
                    line.truncate(line.trim_end_matches(['\r', '\n']).len());
                    if is_wanted(&line) {
                        return line;
                    }
                }
                Err(why) => panic!("{} did not say {wanted}: {why}", self.name),
            }
        }
    }

    /// The end of the program, which comes by itself.
    ///
    /// # Panics
    ///
    /// If it does not come within [`PATIENCE`].
    #[must_use]
    #[track_caller]
    pub fn finish(mut self) -> Finished {
        let deadline = Instant::now() + PATIENCE;
        let (mut output, mut error) = (String::new(), String::new());
        loop {
            match self.next(deadline) {
                Ok((source, line)) => {
                    let text = if source == Source::Output { &mut output } else { &mut error };
                    text.push_str(&line);
                }
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => panic!("{} does not end", self.name),
            }
        }
        Finished { code: self.wait().code(), output, error }
    }

    /// Sends a signal, such as `TERM`.
    ///
    /// # Panics
    ///
    /// If that is not possible.
    pub fn signal(&self, name: &str) {
        let (command, id) = (format!("kill -{name} $0"), self.child.id().to_string());
        let status = Command::new("sh").args(["-c", &command, &id]).status();
        assert!(status.is_ok_and(|status| status.success()), "cannot send {name} to {}", self.name);
    }

    /// Ends the program at once, without a chance to take leave.
    pub fn kill(mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }

    fn wait(&mut self) -> ExitStatus {
        self.child.wait().unwrap_or_else(|error| panic!("{}: {error}", self.name))
    }

    fn next(&mut self, deadline: Instant) -> Result<(Source, String), RecvTimeoutError> {
        let line = self.lines.recv_timeout(deadline.saturating_duration_since(Instant::now()))?;
        self.said.push(line.1.clone());
        Ok(line)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if thread::panicking() {
            let unheard: Vec<String> = self.lines.iter().map(|(_, line)| line).collect();
            eprintln!("--- {} said:", self.name);
            for line in self.said.iter().chain(&unheard) {
                // A line may hold a payload of a megabyte.
                eprintln!("{}", line.trim_end().chars().take(1_000).collect::<String>());
            }
        }
    }
}

fn missing(name: &str) -> String {
    let package = PACKAGES.iter().find(|(program, _)| *program == name);
    let package = package.map_or_else(|| format!("the program {name}"), |(_, package)| (*package).to_owned());
    format!("{name} is missing: install {package}, or let `cargo xtask test interop` do it")
}

fn listen(output: Option<impl Read + Send + 'static>, source: Source, sender: Sender<(Source, String)>) {
    let Some(output) = output else {
        return;
    };
    thread::spawn(move || {
        let mut output = BufReader::new(output);
        loop {
            let mut line = Vec::new();
            if !output.read_until(b'\n', &mut line).is_ok_and(|length| length > 0) {
                return;
            }
            if sender.send((source, String::from_utf8_lossy(&line).into_owned())).is_err() {
                return;
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shell(script: &str) -> Process {
        Process::start(Command::new("sh").args(["-c", script]))
    }

    #[test]
    fn a_line_is_waited_for_and_the_rest_is_kept() {
        let mut process = shell("echo one; echo two >&2; exit 3");
        assert_eq!(process.line("two", |line| line == "two" || line == "one").len(), 3);
        let finished = process.finish();
        assert_eq!((finished.code, finished.output.len() + finished.error.len()), (Some(3), 4));
        assert_eq!(shell("printf 'x\\n\\ny'").finish().success(), "x\n\ny");
    }

    #[test]
    #[should_panic(expected = "sh -c echo one did not say three")]
    fn a_line_that_cannot_come_is_not_waited_for() {
        shell("echo one").line("three", |line| line == "three");
    }

    #[test]
    #[should_panic(expected = "no-such-program is missing: install")]
    fn a_program_that_is_missing_is_named() {
        let _ = Process::start(&mut Command::new("no-such-program"));
    }

    #[test]
    #[should_panic(expected = "no-such-program is missing: install")]
    fn a_program_that_is_missing_is_named_before_its_words_are_waited_for() {
        let _ = line_buffered("no-such-program");
    }
}
