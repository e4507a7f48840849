//! Who acts, and in whose space.

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;

use triomphe::Arc;

/// The outermost key of everything the broker keeps: topics, queues, sessions, identities, records.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TenantId(u16);

impl TenantId {
    /// The tenant `default`, which always exists.
    pub const DEFAULT: Self = Self(0);

    /// The tenant with this number.
    #[must_use]
    pub const fn new(number: u16) -> Self {
        Self(number)
    }

    /// The number of the tenant.
    #[must_use]
    pub const fn number(self) -> u16 {
        self.0
    }
}

/// Who a peer was found to be: a user, or the anonymous identity of a listener. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Identity(Arc<Inner>);

#[derive(PartialEq, Eq, Hash)]
struct Inner {
    tenant: TenantId,
    name: Box<str>,
    anonymous: bool,
}

impl Identity {
    /// An identity that proved to be the user `name`.
    #[must_use]
    pub fn user(tenant: TenantId, name: &str) -> Self {
        Self(Arc::new(Inner { tenant, name: name.into(), anonymous: false }))
    }

    /// The anonymous identity of a listener, named after the listener.
    #[must_use]
    pub fn anonymous(tenant: TenantId, listener: &str) -> Self {
        Self(Arc::new(Inner { tenant, name: listener.into(), anonymous: true }))
    }

    /// The tenant the identity belongs to.
    #[must_use]
    pub fn tenant(&self) -> TenantId {
        self.0.tenant
    }

    /// The user name, or the name of the listener for an anonymous identity.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// Whether nobody proved who they are.
    #[must_use]
    pub fn is_anonymous(&self) -> bool {
        self.0.anonymous
    }
}

impl fmt::Debug for Identity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = if self.is_anonymous() { "anonymous" } else { "user" };
        write!(f, "{kind}:{}", self.name())
    }
}

/// The groups that an identity is in, each once. Cheap to clone; without any nothing is kept.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Groups(Option<Arc<[Box<str>]>>);

impl Groups {
    /// In no group.
    pub const NONE: Self = Self(None);

    /// Whether a group of this name is among them.
    #[must_use]
    pub fn contains(&self, group: &str) -> bool {
        self.iter().any(|own| own == group)
    }

    /// The names of the groups, in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().flat_map(|groups| groups.iter().map(AsRef::as_ref))
    }
}

impl<'g> FromIterator<&'g str> for Groups {
    fn from_iter<I: IntoIterator<Item = &'g str>>(names: I) -> Self {
        let mut groups: Vec<Box<str>> = names.into_iter().map(Box::from).collect();
        groups.sort_unstable();
        groups.dedup();
        Self((!groups.is_empty()).then(|| Arc::from(groups)))
    }
}

impl fmt::Debug for Groups {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_are_a_set_of_names() {
        let groups = Groups::from_iter(["b", "a", "b"]);
        assert!(groups.contains("a") && !groups.contains("c"));
        assert!(groups.iter().eq(["a", "b"]));
        assert_eq!(Groups::from_iter([]), Groups::NONE);
    }
}
