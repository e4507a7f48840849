//! What a program asks for.

use alloc::vec::Vec;

use mynah_model::Topic;

use crate::mapping::uri_path;
use crate::wire::{Code, OptionNumber, uint_bytes};

/// A request before it is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    pub(super) method: Code,
    pub(super) is_confirmable: bool,
    /// In ascending order of the numbers.
    pub(super) options: Vec<(OptionNumber, Vec<u8>)>,
    pub(super) payload: Vec<u8>,
}

impl Request {
    /// A confirmable request without options and payload.
    #[must_use]
    pub const fn new(method: Code) -> Self {
        Self { method, is_confirmable: true, options: Vec::new(), payload: Vec::new() }
    }

    /// A request of `method` for a topic of the broker.
    #[must_use]
    pub fn topic(method: Code, topic: Topic<'_>) -> Self {
        let request = Self::new(method).option(OptionNumber::URI_PATH, b"t");
        uri_path(topic).fold(request, |request, segment| request.option(OptionNumber::URI_PATH, &segment))
    }

    /// The same with one more option.
    #[must_use]
    pub fn option(mut self, number: OptionNumber, value: &[u8]) -> Self {
        let at = self.options.partition_point(|(other, _)| *other <= number);
        self.options.insert(at, (number, value.to_vec()));
        self
    }

    /// The same with one more option that is an integer.
    #[must_use]
    pub fn uint(self, number: OptionNumber, value: u32) -> Self {
        let (bytes, at) = uint_bytes(value);
        self.option(number, &bytes[at..])
    }

    /// The same with one more part of the query.
    #[must_use]
    pub fn query(self, query: &str) -> Self {
        self.option(OptionNumber::URI_QUERY, query.as_bytes())
    }

    /// The same as the beginning of an observation.
    #[must_use]
    pub fn observe(self) -> Self {
        self.option(OptionNumber::OBSERVE, b"")
    }

    /// The same with a payload in this Content-Format.
    #[must_use]
    pub fn payload(mut self, format: u16, payload: &[u8]) -> Self {
        self.payload = payload.to_vec();
        self.uint(OptionNumber::CONTENT_FORMAT, format.into())
    }

    /// The same without an acknowledgement.
    #[must_use]
    pub const fn non_confirmable(mut self) -> Self {
        self.is_confirmable = false;
        self
    }

    /// Whether it begins an observation.
    pub(super) fn observes(&self) -> bool {
        self.options.iter().any(|(number, value)| *number == OptionNumber::OBSERVE && value.is_empty())
    }
}
