//! Selectors: which of a queue's messages a consumer wants, in the SQL-92 subset of Jakarta Messaging 3.1 (section 3.8.1),
//! one language for every protocol.
//!
//! Identifiers name user properties; `JMSPriority`, `JMSDeliveryMode`, `JMSMessageID`, `JMSCorrelationID`, `JMSTimestamp` and
//! `JMSType` (the content type) name what else a message says of itself. A condition holds if it is true; what compares with
//! something that is not there is neither true nor false. As in ActiveMQ, `convert_string_expressions:` before the
//! condition lets a text that is a number be compared with numbers, which is what publishers need that know no other
//! values than texts, and `hyphenated_props:` lets names hold hyphens.

mod evaluate;
mod lexer;
mod like;
mod parser;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use mynah_model::{Header, Properties};

use like::Pattern;

/// Bytes of the longest selector.
pub const SELECTOR_BYTES_MAX: usize = 8_192;

/// A condition on messages.
#[derive(Clone, Debug, PartialEq)]
pub struct Selector {
    condition: Expression,
    /// Whether texts that are numbers compare with numbers.
    converts: bool,
}

/// A part of a condition.
#[derive(Clone, Debug, PartialEq)]
enum Expression {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    Text(Box<str>),
    Name(Name),
    Not(Box<Self>),
    Negative(Box<Self>),
    And(Box<[Self; 2]>),
    Or(Box<[Self; 2]>),
    Compare(Comparison, Box<[Self; 2]>),
    Calculate(Operator, Box<[Self; 2]>),
    /// The value, the lower and the upper bound.
    Between(Box<[Self; 3]>),
    In(Box<Self>, Vec<Self>),
    Like(Box<Self>, Pattern),
    IsNull(Box<Self>),
}

/// What an identifier stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Name {
    Priority,
    DeliveryMode,
    MessageId,
    Correlation,
    Created,
    ContentType,
    Property(Box<str>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Comparison {
    Equal,
    Unequal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Add,
    Subtract,
    Multiply,
    Divide,
}

impl Selector {
    /// Reads a selector.
    ///
    /// # Errors
    /// It is longer than [`SELECTOR_BYTES_MAX`] bytes, nests too deep, or is not one.
    pub fn parse(text: &str) -> Result<Self, SelectorError> {
        if text.len() > SELECTOR_BYTES_MAX {
            return Err(SelectorError { at: SELECTOR_BYTES_MAX, expected: Expected::End });
        }
        parser::parse(text)
    }

    /// Whether a message is wanted.
    #[must_use]
    pub fn selects(&self, header: &Header, properties: &Properties<'_>) -> bool {
        evaluate::condition(
            &self.condition,
            &evaluate::Subject { header, properties, converts: self.converts },
        ) == Some(true)
    }
}

/// Why a text is not a selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SelectorError {
    /// The byte where it goes wrong.
    pub at: usize,
    /// What should stand there.
    pub expected: Expected,
}

/// What should stand somewhere in a selector.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// A value or a condition.
    Operand,
    /// A condition: something that is true or false.
    Condition,
    /// This word or sign.
    Word(&'static str),
    /// A text in single quotes.
    Text,
    /// The end: of a text, or of a selector that is too long or nests too deep.
    End,
    /// A number that can be held.
    Number,
    /// A single character.
    Escape,
}

impl fmt::Display for SelectorError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let expected = match self.expected {
            Expected::Operand => "a value or a condition",
            Expected::Condition => "a condition",
            Expected::Word(word) => word,
            Expected::Text => "a text in single quotes",
            Expected::End => "the end",
            Expected::Number => "a number in range",
            Expected::Escape => "one character in single quotes",
        };
        write!(f, "at byte {}: expected {expected}", self.at)
    }
}

impl core::error::Error for SelectorError {}
