//! Keys that the broker shares with devices.

/// Finds the keys that the users of a listener share with the broker (RFC 4279).
pub trait PreSharedKeys: Send + Sync {
    /// The key of the user of this name; none if there is no such user, or it has no key or is locked. Asked in the middle of a
    /// handshake, by threads that serve connections.
    fn key(&self, user: &str) -> Option<Box<[u8]>>;
}
