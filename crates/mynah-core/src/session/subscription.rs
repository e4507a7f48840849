//! What a session finds its subscriptions by: the filter, behind the name of the group if the subscription is shared.
//!
//! Most subscriptions are the session's own: their keys are the filters as they are. No filter holds NUL, so the key of a
//! shared one, `NUL group NUL filter`, is never mistaken for one.

use alloc::borrow::Cow;

use mynah_model::Filter;

/// The key of a subscription. The group's name holds no NUL.
pub(super) fn key<'a>(share: Option<&[u8]>, filter: Filter<'a>) -> Cow<'a, [u8]> {
    match share {
        None => Cow::Borrowed(filter.as_bytes()),
        Some(group) => Cow::Owned([&[0], group, &[0], filter.as_bytes()].concat()),
    }
}

/// The group and the filter of a key.
pub(super) fn parts(key: &[u8]) -> (Option<&[u8]>, Filter<'_>) {
    let shared = key.strip_prefix(&[0]).and_then(|rest| {
        let end = rest.iter().position(|&byte| byte == 0)?;
        Some((&rest[..end], Filter::from_checked(&rest[end + 1..])))
    });
    match shared {
        Some((group, filter)) => (Some(group), filter),
        None => (None, Filter::from_checked(key)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_tell_groups_and_filters_apart() {
        let filter = Filter::from_checked(b"a/+");
        for share in [None, Some(&b"g"[..]), Some(b"a"), Some(b"g/h")] {
            let key = key(share, filter);
            assert_eq!(parts(&key), (share, filter));
        }
        assert!(matches!(key(None, filter), Cow::Borrowed(b"a/+")));
    }
}
