//! Users, as administrators see and change them.

use std::fmt;

/// A user of the users file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UserView {
    /// The name.
    pub name: String,
    /// The groups that it is in.
    pub groups: Vec<String>,
    /// What it may do.
    pub permissions: Permissions,
}

/// Which of these actions the rules permit a user on everything.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Permissions {
    /// To declare queues and exchanges, to bind and to delete them.
    pub configure: bool,
    /// To publish.
    pub write: bool,
    /// To consume from queues.
    pub read: bool,
}

/// What is to become of users.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum UserChange {
    /// There is to be a user.
    Put {
        /// The name.
        name: String,
        /// What proves who it is; none leaves what it has.
        secret: Option<Secret>,
        /// The groups that it is in.
        groups: Vec<String>,
    },
    /// Users go. One that is not there is passed over, unless it is the only one.
    Remove(Vec<String>),
}

/// A password, or what RabbitMQ keeps of one.
#[derive(Clone, PartialEq, Eq)]
pub enum Secret {
    /// A password.
    Password(String),
    /// The name of an algorithm, a `$`, and the hash of a password.
    Hash(String),
}

impl fmt::Debug for Secret {
    /// Shows nothing of it.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}
