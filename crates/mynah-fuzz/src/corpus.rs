//! Corpora as they are kept: one text file for each target, one input a line, in hexadecimal digits. A line that begins
//! with `#` says something about the inputs after it.

use std::collections::BTreeSet;
use std::fmt::Write;

/// The inputs of one target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Corpus {
    /// Inputs, shortest first.
    inputs: BTreeSet<(usize, Input)>,
}

/// Bytes for a target.
pub type Input = Vec<u8>;

impl Corpus {
    /// Reads the text form.
    ///
    /// # Errors
    /// The number, counted from 1, of the first line that is not hexadecimal.
    pub fn parse(text: &str) -> Result<Self, usize> {
        let mut corpus = Self::default();
        for (at, line) in text.lines().enumerate().filter(|(_, line)| !line.starts_with('#')) {
            corpus.insert(from_hex(line).ok_or(at + 1)?);
        }
        Ok(corpus)
    }

    /// The text form, without remarks.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        for input in self.inputs() {
            for byte in input {
                // Writing to a string does not fail.
                let _ = write!(text, "{byte:02x}");
            }
            text.push('\n');
        }
        text
    }

    /// Adds an input.
    pub fn insert(&mut self, input: Input) {
        self.inputs.insert((input.len(), input));
    }

    /// The inputs, shortest first.
    pub fn inputs(&self) -> impl Iterator<Item = &Input> {
        self.inputs.iter().map(|(_, input)| input)
    }
}

/// The bytes that hexadecimal digits spell; spaces between bytes are allowed.
#[must_use]
pub(crate) fn from_hex(text: &str) -> Option<Vec<u8>> {
    let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b' ').collect();
    if !digits.len().is_multiple_of(2) || !digits.iter().all(u8::is_ascii_hexdigit) {
        return None;
    }
    let byte = |pair: &[u8]| u8::from_str_radix(core::str::from_utf8(pair).ok()?, 16).ok();
    digits.chunks(2).map(byte).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn inputs_are_ordered_and_survive_the_text() {
        let mut corpus = Corpus::default();
        for input in [&b"\xff\x00"[..], b"z", b"", b"abc", b"z"] {
            corpus.insert(input.to_vec());
        }
        let text = corpus.to_text();
        assert_eq!(text, "\n7a\nff00\n616263\n");
        assert_eq!(Corpus::parse(&text), Ok(corpus));
    }

    #[test]
    fn remarks_are_passed_over_and_what_is_not_hexadecimal_is_found() {
        assert_eq!(Corpus::parse("# why\n00 01\n").unwrap().inputs().next(), Some(&vec![0, 1]));
        assert_eq!(Corpus::parse("00\n0\n"), Err(2));
        assert_eq!(Corpus::parse("00\n0g\n"), Err(2));
    }
}
