//! Publishing by requests that are answered one by one: HTTP and CoAP.

use std::io::Result;

use crate::broker::Addresses;
use crate::coap::Coap;
use crate::http::Http;

/// What is done to a topic.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Method {
    /// An event is published.
    Post,
    /// The retained value is set.
    Put,
    /// The retained value is cleared.
    Delete,
}

/// A connection by which requests are made.
pub(crate) trait Requests: Sized {
    /// Opens one. What it has to choose follows from the seed.
    fn open(addresses: &Addresses, seed: u64) -> Result<Self>;

    /// Makes a request and waits for its answer. Says whether that was a success.
    fn publish(&mut self, method: Method, topic: &str, payload: &[u8]) -> Result<bool>;
}

impl Requests for Http {
    fn open(addresses: &Addresses, _: u64) -> Result<Self> {
        Self::open(addresses.http)
    }

    fn publish(&mut self, method: Method, topic: &str, payload: &[u8]) -> Result<bool> {
        let method = match method {
            Method::Post => "POST",
            Method::Put => "PUT",
            Method::Delete => "DELETE",
        };
        let answer = self.ask(method, topic, payload)?;
        Ok((200..300).contains(&answer.status))
    }
}

impl Requests for Coap {
    fn open(addresses: &Addresses, seed: u64) -> Result<Self> {
        Self::open(addresses.coap, seed)
    }

    fn publish(&mut self, method: Method, topic: &str, payload: &[u8]) -> Result<bool> {
        self.publish(method, topic, payload)
    }
}
