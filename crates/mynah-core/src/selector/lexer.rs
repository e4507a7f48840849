//! Words, signs and literals of a selector.

use alloc::borrow::Cow;

use super::{Expected, SelectorError};

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'s> {
    /// A word that is not reserved.
    Name(&'s str),
    /// A reserved word, in capitals, or a sign.
    Word(&'static str),
    Text(Cow<'s, str>),
    Integer(i64),
    Float(f64),
    End,
}

const RESERVED: [&str; 11] =
    ["AND", "BETWEEN", "ESCAPE", "FALSE", "IN", "IS", "LIKE", "NOT", "NULL", "OR", "TRUE"];
/// The longer ones before those that they begin with.
const SIGNS: [&str; 13] = ["<>", "<=", ">=", "=", "<", ">", "(", ")", ",", "+", "-", "*", "/"];

pub(super) struct Lexer<'s> {
    text: &'s str,
    at: usize,
    hyphens: bool,
}

impl<'s> Lexer<'s> {
    pub(super) const fn new(text: &'s str, hyphens: bool) -> Self {
        Self { text, at: 0, hyphens }
    }

    /// The next token, and where it begins.
    pub(super) fn next(&mut self) -> Result<(usize, Token<'s>), SelectorError> {
        let rest = self.text[self.at..].trim_start();
        self.at = self.text.len() - rest.len();
        let start = self.at;
        let token = match rest.bytes().next() {
            None => Token::End,
            Some(b'\'') => self.text_literal(rest)?,
            Some(b'"') => self.quoted_name(rest)?,
            Some(b'0'..=b'9') => self.number(rest)?,
            Some(b'.') if rest[1..].starts_with(|c: char| c.is_ascii_digit()) => self.number(rest)?,
            Some(byte) if begins_name(byte) => self.word(rest),
            Some(_) => self.sign(rest)?,
        };
        Ok((start, token))
    }

    fn error(&self, expected: Expected) -> SelectorError {
        SelectorError { at: self.at, expected }
    }

    fn word(&mut self, rest: &'s str) -> Token<'s> {
        let is_inner = |byte: u8| {
            begins_name(byte) || byte.is_ascii_digit() || byte == b'.' || self.hyphens && byte == b'-'
        };
        let len = rest.bytes().position(|byte| !is_inner(byte)).unwrap_or(rest.len());
        self.at += len;
        let word = &rest[..len];
        match RESERVED.iter().find(|reserved| reserved.eq_ignore_ascii_case(word)) {
            Some(reserved) => Token::Word(reserved),
            None => Token::Name(word),
        }
    }

    fn sign(&mut self, rest: &'s str) -> Result<Token<'s>, SelectorError> {
        let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign)).ok_or(self.error(Expected::Operand))?;
        self.at += sign.len();
        Ok(Token::Word(sign))
    }

    /// A text in single quotes; one of these inside is doubled.
    fn text_literal(&mut self, rest: &'s str) -> Result<Token<'s>, SelectorError> {
        let mut from = 1;
        loop {
            let Some(len) = rest[from..].find('\'') else {
                self.at = self.text.len();
                return Err(self.error(Expected::End));
            };
            from += len + 1;
            if !rest[from..].starts_with('\'') {
                break;
            }
            from += 1;
        }
        self.at += from;
        let inner = &rest[1..from - 1];
        let is_plain = !inner.contains('\'');
        Ok(Token::Text(if is_plain { Cow::Borrowed(inner) } else { Cow::Owned(inner.replace("''", "'")) }))
    }

    /// A name that could not be written without quotes.
    fn quoted_name(&mut self, rest: &'s str) -> Result<Token<'s>, SelectorError> {
        match rest[1..].find('"') {
            Some(len) if len > 0 => {
                self.at += len + 2;
                Ok(Token::Name(&rest[1..=len]))
            }
            _ => Err(self.error(Expected::Operand)),
        }
    }

    fn number(&mut self, rest: &'s str) -> Result<Token<'s>, SelectorError> {
        if let Some(digits) = rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X")) {
            return self.whole(digits, 2, 16);
        }
        let len = number_len(rest.as_bytes());
        let is_float = rest[..len].contains(['.', 'e', 'E']);
        let has_suffix = matches!(rest.as_bytes().get(len), Some(b'f' | b'F' | b'd' | b'D'));
        if !is_float && !has_suffix {
            let octal = rest.len() > 1 && rest.starts_with('0') && len > 1;
            return if octal { self.whole(&rest[1..], 1, 8) } else { self.whole(rest, 0, 10) };
        }
        let number = rest[..len].parse().map_err(|_| self.error(Expected::Number))?;
        self.at += len + usize::from(has_suffix);
        self.ends_number(Token::Float(number))
    }

    /// Digits after a prefix, perhaps followed by an `L`.
    fn whole(&mut self, digits: &'s str, prefix: usize, radix: u32) -> Result<Token<'s>, SelectorError> {
        let len = digits.bytes().position(|byte| !char::from(byte).is_digit(radix)).unwrap_or(digits.len());
        let number = i64::from_str_radix(&digits[..len], radix).map_err(|_| self.error(Expected::Number))?;
        let has_suffix = matches!(digits.as_bytes().get(len), Some(b'l' | b'L'));
        self.at += prefix + len + usize::from(has_suffix);
        self.ends_number(Token::Integer(number))
    }

    /// A number does not run into a name.
    fn ends_number(&self, token: Token<'s>) -> Result<Token<'s>, SelectorError> {
        let next = self.text.as_bytes().get(self.at);
        let runs_on = next.is_some_and(|&byte| begins_name(byte) || byte.is_ascii_digit() || byte == b'.');
        if runs_on { Err(self.error(Expected::Number)) } else { Ok(token) }
    }
}

/// Digits, perhaps with a fraction and an exponent.
fn number_len(bytes: &[u8]) -> usize {
    let digits = |from: usize| from + bytes[from..].iter().take_while(|byte| byte.is_ascii_digit()).count();
    let mut len = digits(0);
    if bytes.get(len) == Some(&b'.') {
        len = digits(len + 1);
    }
    if matches!(bytes.get(len), Some(b'e' | b'E')) {
        let sign = usize::from(matches!(bytes.get(len + 1), Some(b'+' | b'-')));
        let end = digits((len + 1 + sign).min(bytes.len()));
        if end > len + 1 + sign {
            len = end;
        }
    }
    len
}

/// Letters of other scripts are letters too: what is not ASCII belongs to names.
const fn begins_name(byte: u8) -> bool {
    byte.is_ascii_alphabetic() || byte == b'_' || byte == b'$' || byte >= 0x80
}
