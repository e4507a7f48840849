//! Properties of a message, as a view that is decoded when asked.

/// What a message says about itself beside topic, class, retain, priority and deadline (those are in the
/// [`crate::Header`]). Borrowed from the native bytes by the codec of their layout.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Properties<'m> {
    /// The media type of the payload, such as `application/json`. Absent means that nobody said.
    pub content_type: Option<&'m str>,
}
