//! What those who vouch for a peer say of it: tokens, an HTTP hook, a directory.

use mynah_model::{Identity, WallTime};

/// Names of a peer's groups that are kept; what vouches for it may name no more.
pub const GROUPS_MAX: usize = 256;

/// Bytes of the longest name of an identity or a group that is taken from another system.
pub const NAME_BYTES_MAX: usize = 256;

/// Who a peer is, as another system says, and what goes with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Grant {
    /// Who the peer is.
    pub identity: Identity,
    /// The groups that it is in, in the order that they were named.
    pub groups: Vec<Box<str>>,
    /// What it may do at most, if that was said.
    pub rights: Option<TokenRights>,
    /// When all this ends, and the connection with it.
    pub valid_until: Option<WallTime>,
}

/// Filters of the topics that the bearer of a token may publish and subscribe to, as they stand in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TokenRights {
    /// What may be published.
    pub publish: Vec<String>,
    /// What may be subscribed to.
    pub subscribe: Vec<String>,
}

/// Whether a name of another system can be that of an identity or a group: not empty, bounded, and nothing in it that
/// could not be written in a line of a log or a file.
pub(crate) fn is_name(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES_MAX && !name.chars().any(char::is_control)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_bounded_and_printable() {
        assert!(is_name("ada") && is_name("auth0|12/3 äé") && is_name(&"x".repeat(NAME_BYTES_MAX)));
        for wrong in ["", "a\nb", "a\0", &"x".repeat(NAME_BYTES_MAX + 1)] {
            assert!(!is_name(wrong), "{wrong:?}");
        }
    }
}
